//! The schema, in steps.

mod m0001_connections;
mod m0002_integrations;
mod m0003_keys;
mod m0004_idempotency;
mod m0005_apps;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Vault's migrations.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_connections::Migration),
            Box::new(m0002_integrations::Migration),
            Box::new(m0003_keys::Migration),
            Box::new(m0004_idempotency::Migration),
            Box::new(m0005_apps::Migration),
        ]
    }
}
