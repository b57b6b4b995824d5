//! The schema, in steps.

mod m0001_connections;
mod m0003_keys;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Vault's migrations.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_connections::Migration), Box::new(m0003_keys::Migration)]
    }
}
