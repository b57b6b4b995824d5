//! The schema, one file a step. Steps are never edited once released.

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

mod m0001_keys;
mod m0002_lease_ttl;
mod m0003_receipts;

pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_keys::Migration),
            Box::new(m0002_lease_ttl::Migration),
            Box::new(m0003_receipts::Migration),
        ]
    }
}
