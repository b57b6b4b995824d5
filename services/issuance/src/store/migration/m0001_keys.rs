//! The log, the trail, teams, keys, followers.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, boolean, integer, small_integer, string, text, uuid,
        uuid_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

fn log() -> Vec<TableCreateStatement> {
    let epoch = Table::create()
        .table("epoch")
        .col(integer("id").primary_key())
        .col(uuid("database_id"))
        .col(big_integer("head"))
        .col(uuid("nonce"))
        .col(string("settled"))
        .to_owned();
    let log = Table::create()
        .table("log")
        .col(big_integer("seq").primary_key())
        .col(uuid("nonce"))
        .col(uuid("previous_nonce"))
        .col(string("scope_kind"))
        .col(uuid("scope_id"))
        .col(string("kind"))
        .col(boolean("cut"))
        .col(uuid("operation_id"))
        .col(big_integer("created_at"))
        .to_owned();
    let operations = Table::create()
        .table("operations")
        .col(uuid("team_id"))
        .col(uuid("id"))
        .col(big_integer("seq"))
        .col(string("kind"))
        .col(string("scope_kind"))
        .col(uuid("scope_id"))
        .col(boolean("cut"))
        .primary_key(Index::create().col("team_id").col("id"))
        .to_owned();
    let audit = Table::create()
        .table("audit")
        .col(big_integer("seq").primary_key())
        .col(uuid("id").unique_key())
        .col(uuid("team_id"))
        .col(big_integer("at"))
        .col(string("actor"))
        .col(text("actor_label"))
        .col(string("action"))
        .col(string("subject_id"))
        .col(text("subject_label"))
        .col(text("before"))
        .col(text("after"))
        .col(string("request_id"))
        .col(string("source_ip"))
        .to_owned();
    let followers = Table::create()
        .table("followers")
        .col(uuid("incarnation").primary_key())
        .col(string("role"))
        .col(big_integer("since"))
        .col(big_integer("answered_at"))
        .col(boolean("retiring"))
        .to_owned();
    vec![epoch, log, operations, audit, followers]
}

fn keys(folded: ColumnDef) -> Vec<TableCreateStatement> {
    let teams = Table::create()
        .table("teams")
        .col(uuid("id").primary_key())
        .col(text("name"))
        .col(string("status"))
        .col(text("plan"))
        .col(big_integer("created_at"))
        .to_owned();
    let keys = Table::create()
        .table("keys")
        .col(uuid("id").primary_key())
        .col(uuid("team_id"))
        .col(string("kid").unique_key())
        .col(text("name"))
        .col(folded)
        .col(text("description"))
        .col(string("environment"))
        .col(string("status"))
        .col(big_integer_null("deleted_at"))
        .col(big_integer_null("expires_at"))
        .col(text("ip_allow_list"))
        .col(text("limits"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(uuid_null("created_by"))
        .col(big_integer("version"))
        .foreign_key(ForeignKey::create().from("keys", "team_id").to("teams", "id"))
        .to_owned();
    let grants = Table::create()
        .table("grants")
        .col(uuid("key_id"))
        .col(string("app_key"))
        .col(uuid_null("connection_id"))
        .col(uuid_null("integration_id"))
        .col(text("components"))
        .primary_key(Index::create().col("key_id").col("app_key"))
        .foreign_key(ForeignKey::create().from("grants", "key_id").to("keys", "id"))
        .to_owned();
    let secrets = Table::create()
        .table("secrets")
        .col(uuid("id").primary_key())
        .col(uuid("key_id"))
        .col(text("phc"))
        .col(small_integer("token_key_version"))
        .col(big_integer_null("not_after"))
        .col(big_integer("created_at"))
        .foreign_key(ForeignKey::create().from("secrets", "key_id").to("keys", "id"))
        .to_owned();
    let scopes = Table::create()
        .table("scope_statuses")
        .col(uuid("team_id"))
        .col(string("scope_kind"))
        .col(uuid("scope_id"))
        .col(boolean("usable"))
        .primary_key(Index::create().col("team_id").col("scope_kind").col("scope_id"))
        .to_owned();
    vec![teams, keys, grants, secrets, scopes]
}

fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut folded = text("name_folded");
        if manager.get_database_backend() == sea_orm::DbBackend::Postgres {
            // By bytes, as SQLite sorts: the order of pages must not depend on a locale.
            folded.extra("COLLATE \"C\"");
        }
        for table in log().into_iter().chain(keys(folded)) {
            manager.create_table(table).await?;
        }
        for index in [
            index("log_created", "log", &["created_at"]),
            index("operations_scope", "operations", &["scope_kind", "scope_id", "cut", "seq"]),
            index("audit_team", "audit", &["team_id", "seq"]),
            index("audit_subject", "audit", &["team_id", "subject_id", "seq"]),
            index("keys_created", "keys", &["team_id", "created_at", "id"]),
            index("keys_name", "keys", &["team_id", "name_folded", "id"]),
            index("secrets_key", "secrets", &["key_id"]),
            index("secrets_version", "secrets", &["token_key_version", "key_id"]),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
