//! The schema, in steps.

mod m0001_tombstones;
mod m0002_applied_nonce;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Triggers' migrations.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_tombstones::Migration), Box::new(m0002_applied_nonce::Migration)]
    }
}
