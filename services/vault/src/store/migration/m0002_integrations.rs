//! Integrations, connect flows, and what the provider of an integration issued to a connection.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, binary_null, boolean, string, text, text_null, uuid,
        uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("integrations")
                    .col(uuid("id").primary_key())
                    .col(uuid("team_id"))
                    .col(string("app_key"))
                    .col(text("name"))
                    .col(string("grant_type"))
                    .col(text("client_id"))
                    .col(boolean("has_secret"))
                    .col(text("scopes"))
                    .col(text("return_urls"))
                    .col(string("status"))
                    .col(string("status_reason"))
                    .col(big_integer("created_at"))
                    .col(big_integer("version"))
                    .col(binary_null("client"))
                    .col(big_integer("client_version"))
                    .col(uuid_null("switched_by"))
                    .col(big_integer_null("deleted_at"))
                    .to_owned(),
            )
            .await?;
        index(manager, "integrations_team", "integrations", &["team_id", "id"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("connect_flows")
                    .col(uuid("id").primary_key())
                    .col(uuid("team_id"))
                    .col(uuid("integration_id"))
                    .col(uuid_null("connection_id"))
                    .col(text("name"))
                    .col(text("variables"))
                    .col(text("actor"))
                    .col(text("actor_label"))
                    .col(text("request_id"))
                    .col(string("source_ip"))
                    .col(text("return_url"))
                    .col(big_integer("expires_at"))
                    .col(binary_null("ticket").unique_key())
                    .col(binary_null("cookie").unique_key())
                    .col(binary_null("state").unique_key())
                    .col(big_integer("attempt"))
                    .col(binary_null("secret"))
                    .to_owned(),
            )
            .await?;
        index(manager, "connect_flows_expires", "connect_flows", &["expires_at"]).await?;
        // One at a time: SQLite adds no more in one statement.
        for column in [
            uuid_null("integration_id"),
            text_null("scopes"),
            big_integer_null("expires_at"),
            big_integer_null("refresh_at"),
            big_integer("refresh_fence").default(0).take(),
            string("refresh_state").default("idle").take(),
            big_integer_null("refresh_until"),
        ] {
            let table = Table::alter().table("connections").add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        index(manager, "connections_integration", "connections", &["integration_id", "id"]).await?;
        index(manager, "connections_refresh", "connections", &["refresh_at"]).await
    }
}

async fn index(
    manager: &SchemaManager<'_>,
    name: &str,
    table: &str,
    columns: &[&str],
) -> Result<(), DbErr> {
    let mut index = Index::create().name(name).table(Alias::new(table)).to_owned();
    for column in columns {
        index.col(Alias::new(*column));
    }
    manager.create_index(index).await
}
