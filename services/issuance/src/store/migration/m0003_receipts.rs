//! The receipt of a cut beside its row of the trail; what an operation's request said.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, binary_null, integer_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One column a statement: SQLite adds no more at once.
        for (table, column) in [
            ("audit", integer_null("acknowledged")),
            ("audit", integer_null("waited_out")),
            ("audit", big_integer_null("elapsed_us")),
            ("operations", binary_null("request")),
        ] {
            let alter = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
