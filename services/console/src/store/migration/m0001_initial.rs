//! Users, teams, memberships, management tokens, the audit trail.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary, text, text_null, uuid},
};

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = Table::create()
            .table("users")
            .col(uuid("id").primary_key())
            .col(text("email").unique_key())
            .col(text_null("name"))
            .col(text("password_hash"))
            .col(big_integer("created_at"))
            .to_owned();
        let teams = Table::create()
            .table("teams")
            .col(uuid("id").primary_key())
            .col(text("name"))
            .col(big_integer("created_at"))
            .to_owned();
        let memberships = Table::create()
            .table("memberships")
            .col(uuid("team_id"))
            .col(uuid("user_id"))
            .col(text("role"))
            .col(big_integer("created_at"))
            .primary_key(Index::create().col("team_id").col("user_id"))
            .foreign_key(ForeignKey::create().from("memberships", "team_id").to("teams", "id"))
            .foreign_key(ForeignKey::create().from("memberships", "user_id").to("users", "id"))
            .to_owned();
        let tokens = Table::create()
            .table("management_tokens")
            .col(uuid("id").primary_key())
            .col(uuid("team_id"))
            .col(uuid("created_by"))
            .col(text("name"))
            .col(text("role"))
            .col(binary("digest").unique_key())
            .col(big_integer("created_at"))
            .col(big_integer_null("expires_at"))
            .col(big_integer_null("revoked_at"))
            .foreign_key(
                ForeignKey::create().from("management_tokens", "team_id").to("teams", "id"),
            )
            .foreign_key(
                ForeignKey::create().from("management_tokens", "created_by").to("users", "id"),
            )
            .to_owned();
        let audit = Table::create()
            .table("audit")
            .col(uuid("id").primary_key())
            .col(big_integer("at"))
            .col(uuid("team_id"))
            .col(text("actor"))
            .col(text("actor_label"))
            .col(text("action"))
            .col(text("subject_id"))
            .col(text("subject_label"))
            .col(text("before"))
            .col(text("after"))
            .col(text("request_id"))
            .col(text("source_ip"))
            .to_owned();
        for table in [users, teams, memberships, tokens, audit] {
            manager.create_table(table).await?;
        }
        for (table, name) in
            [("management_tokens", "management_tokens_by_team"), ("audit", "audit_by_team")]
        {
            let index = Index::create().name(name).table(table).col("team_id").col("id").to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
