//! Which followers were tasks of the process that registered them.

use sea_orm_migration::{prelude::*, schema::boolean};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of followers from before it is not known.
        let local = boolean("local").default(false).to_owned();
        let alter = Table::alter().table("followers").add_column(local).to_owned();
        manager.alter_table(alter).await
    }
}
