//! Runs under idempotency keys.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, binary_null, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("idempotency")
                    .col(uuid("id").primary_key())
                    .col(uuid("team_id"))
                    .col(uuid("key_id"))
                    .col(binary("name_digest"))
                    .col(binary("request_digest"))
                    .col(big_integer("began_at"))
                    .col(big_integer("lease_ends_at"))
                    .col(string("state"))
                    .col(binary_null("answer"))
                    .col(big_integer("answer_version").default(1))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("idempotency_name")
                    .table("idempotency")
                    .col("team_id")
                    .col("key_id")
                    .col("name_digest")
                    .unique()
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("idempotency_began")
                    .table("idempotency")
                    .col("began_at")
                    .to_owned(),
            )
            .await
    }
}
