//! Rotation: which key-encryption key wraps, which processes have which, which data keys are retired.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("data_keys")
                    .add_column(big_integer_null("retired_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("data_keys_kek")
                    .table("data_keys")
                    .col("kek_version")
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("wrapping")
                    .col(big_integer("id").primary_key())
                    .col(big_integer("version"))
                    .col(big_integer("announced"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("key_readers")
                    .col(uuid("id").primary_key())
                    .col(big_integer("newest"))
                    .col(big_integer("seen_at"))
                    .to_owned(),
            )
            .await?;
        // What wrapped until now goes on.
        manager
            .get_connection()
            .execute_unprepared(
                "INSERT INTO wrapping (id, version, announced)
                 SELECT 1, COALESCE(MAX(kek_version), 0), COALESCE(MAX(kek_version), 0)
                 FROM data_keys",
            )
            .await?;
        Ok(())
    }
}
