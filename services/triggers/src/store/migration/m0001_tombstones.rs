//! Tombstones and how far they are complete.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, integer, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("applied")
                    .col(integer("id").primary_key())
                    .col(string("history"))
                    .col(big_integer("seq"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("tombstones")
                    .col(string("scope_kind"))
                    .col(uuid("scope_id"))
                    .col(big_integer("seq"))
                    .primary_key(Index::create().col("scope_kind").col("scope_id"))
                    .to_owned(),
            )
            .await
    }
}
