//! How long a follower's leases last, as it was told when it registered.

use sea_orm_migration::{prelude::*, schema::big_integer};

/// Of followers from before: the longest that any follower takes.
const LONGEST_MS: i64 = 60_000;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let lease_ttl = big_integer("lease_ttl_ms").default(LONGEST_MS).to_owned();
        let alter = Table::alter().table("followers").add_column(lease_ttl).to_owned();
        manager.alter_table(alter).await
    }
}
