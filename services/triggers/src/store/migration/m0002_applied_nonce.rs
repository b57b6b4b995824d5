//! Which row the tombstones are complete up to, beside its number.

use sea_orm_migration::{prelude::*, schema::uuid_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let alter = Table::alter().table("applied").add_column(uuid_null("nonce")).to_owned();
        manager.alter_table(alter).await
    }
}
