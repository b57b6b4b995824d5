//! Schema migrations.

use sea_orm::ConnectionTrait;
use sea_orm_migration::MigratorTrait;

use crate::{Backend, Database, Error};

impl Database {
    /// Applies every pending migration of `M`.
    ///
    /// # Errors
    /// [`Error`] if a migration fails; those before it stay applied.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<(), Error> {
        Ok(M::up(&self.connection, None).await?)
    }

    /// The names of the migrations of `M` that are not applied yet. Writes nothing.
    ///
    /// # Errors
    /// [`Error`] if the database cannot be read.
    pub async fn pending<M: MigratorTrait>(&self) -> Result<Vec<String>, Error> {
        let pending = M::get_pending_migrations_read_only(&self.connection).await?;
        Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
    }

    /// Folds SQLite's write-ahead log into the database file, so that nothing that was deleted
    /// lingers beside it. Does nothing on Postgres.
    ///
    /// # Errors
    /// [`Error::Busy`] while a reader holds it up.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        if self.backend == Backend::Sqlite {
            self.connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        }
        Ok(())
    }
}
