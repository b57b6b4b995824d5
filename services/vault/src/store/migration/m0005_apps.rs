//! Versions of the apps that teams added.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, string, text, text_null, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let key = Index::create().col("team_id").col("app_key").col("version").to_owned();
        manager
            .create_table(
                Table::create()
                    .table("apps")
                    .col(uuid("team_id"))
                    .col(string("app_key"))
                    .col(big_integer("version"))
                    .col(text_null("document"))
                    .col(big_integer("created_at"))
                    .col(text("created_by"))
                    .primary_key(&mut { key })
                    .to_owned(),
            )
            .await
    }
}
