//! Schema migrations.

use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use sea_orm_migration::MigratorTrait;

use crate::{Backend, Database, Error};

/// One at a time, however many are started together, each for as long as it takes. For the locks of
/// a table it still waits no longer than anybody else: whoever comes after it waits, too.
const ALONE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
     SELECT pg_advisory_xact_lock(7742006126337876325); SET LOCAL lock_timeout TO DEFAULT";

impl Database {
    /// Applies every pending migration of `M`: on Postgres all or none.
    ///
    /// # Errors
    /// [`Error`] if a migration fails; on SQLite those before it stay applied.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<(), Error> {
        // Without the bounds of a request.
        let connection = &self.connection.inner;
        let migrated: Result<(), DbErr> = async {
            match self.backend {
                Backend::Sqlite => M::up(connection, None).await,
                Backend::Postgres => {
                    let transaction = connection.begin().await?;
                    transaction.execute_unprepared(ALONE).await?;
                    M::up(&transaction, None).await?;
                    transaction.commit().await
                }
            }
        }
        .await;
        Ok(migrated?)
    }

    /// The names of the migrations of `M` that are not applied yet. Writes nothing.
    ///
    /// # Errors
    /// [`Error`] if the database cannot be read.
    pub async fn pending<M: MigratorTrait>(&self) -> Result<Vec<String>, Error> {
        let pending = M::get_pending_migrations_read_only(&self.connection.inner).await?;
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
