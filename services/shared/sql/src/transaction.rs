//! Named transactions, tried again where that can help.

use std::{ops::Deref, pin::Pin, time::Duration};

use sea_orm::{
    AccessMode, DatabaseTransaction, IsolationLevel, SqliteTransactionMode, TransactionOptions,
};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;

use crate::{Backend, Bounded, Database, Error};

/// Attempts before a transaction that keeps colliding is given up as [`Error::Busy`].
const ATTEMPTS: u32 = 8;

/// What the body of a transaction returns.
pub type Body<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

/// An open transaction that writes. Dropped without [`Transaction::commit`], it is rolled back.
pub struct Transaction {
    transaction: Bounded<DatabaseTransaction>,
    /// Held until the end: SQLite has one writer.
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    /// Makes everything done in it durable, at once.
    ///
    /// # Errors
    /// [`Error::Busy`] if it collided; [`Error::Unavailable`] if the outcome is unknown.
    pub async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await
    }
}

impl Deref for Transaction {
    type Target = Bounded<DatabaseTransaction>;

    fn deref(&self) -> &Bounded<DatabaseTransaction> {
        &self.transaction
    }
}

impl Database {
    /// Opens a transaction that writes: BEGIN IMMEDIATE on SQLite, READ COMMITTED on Postgres.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Unavailable`].
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let writer = match self.backend {
            Backend::Sqlite => Some(self.writer.clone().lock_owned().await),
            Backend::Postgres => None,
        };
        let transaction = self.connection.begin(self.write_options()).await?;
        Ok(Transaction { transaction, _writer: writer })
    }

    fn write_options(&self) -> TransactionOptions {
        match self.backend {
            Backend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            },
            Backend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::ReadCommitted),
                access_mode: Some(AccessMode::ReadWrite),
                ..TransactionOptions::default()
            },
        }
    }

    /// Runs `body` in one transaction that writes. A collision with another transaction rolls it
    /// back and runs `body` again, so it must have no effect outside the database; any other error
    /// rolls back and is returned.
    ///
    /// # Errors
    /// What `body` returns, or [`Error`] of the database.
    pub async fn transaction<T, E, F>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Collides + Send,
        F: for<'t> Fn(&'t Bounded<DatabaseTransaction>) -> Body<'t, T, E> + Send + Sync,
    {
        let attempt = || async {
            let transaction = self.begin().await?;
            let value = body(&transaction).await?;
            transaction.commit().await?;
            Ok(value)
        };
        retried(attempt).instrument(tracing::debug_span!("sql.transaction", name)).await
    }

    /// Runs `body` on one consistent snapshot, read only.
    ///
    /// # Errors
    /// What `body` returns, or [`Error`] of the database.
    pub async fn snapshot<T, E, F>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
        F: for<'t> FnOnce(&'t Bounded<DatabaseTransaction>) -> Body<'t, T, E> + Send,
    {
        let options = match self.backend {
            // A deferred transaction of SQLite in WAL mode reads one snapshot and blocks nobody.
            Backend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
            Backend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        async {
            let transaction = self.connection.begin(options).await?;
            let value = body(&transaction).await?;
            transaction.commit().await?;
            Ok(value)
        }
        .instrument(tracing::debug_span!("sql.snapshot", name))
        .await
    }
}

/// Runs a transaction, and again for as long as another one was in its way, a few times at most.
///
/// # Errors
/// What the last `attempt` returned.
pub async fn retried<T, E, F>(attempt: impl Fn() -> F) -> Result<T, E>
where
    E: Collides,
    F: Future<Output = Result<T, E>>,
{
    let mut number = 1;
    loop {
        match attempt().await {
            Err(error) if error.collides() && number < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(1 << number)).await;
                number += 1;
            }
            result => return result,
        }
    }
}

/// An error that can say whether it was a collision, so that its transaction is tried again.
pub trait Collides {
    /// Was this another transaction in the way?
    fn collides(&self) -> bool;
}

impl Collides for Error {
    fn collides(&self) -> bool {
        *self == Self::Busy
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::Pool;

    async fn database(folder: &tempfile::TempDir) -> Database {
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
        let table = "CREATE TABLE counter (value INTEGER NOT NULL)";
        database.read().execute_unprepared(table).await.expect("created");
        database.read().execute_unprepared("INSERT INTO counter VALUES (0)").await.expect("stored");
        database
    }

    async fn value(database: &impl ConnectionTrait) -> i64 {
        let row = database
            .query_one_raw(sea_orm::Statement::from_string(
                sea_orm::DbBackend::Sqlite,
                "SELECT value FROM counter",
            ))
            .await
            .expect("reads")
            .expect("one row");
        row.try_get_by_index(0).expect("a number")
    }

    fn add_one(transaction: &Bounded<DatabaseTransaction>) -> Body<'_, (), Error> {
        Box::pin(async move {
            transaction.execute_unprepared("UPDATE counter SET value = value + 1").await?;
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_hundred_writers_at_once_all_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(&folder).await;
        let writers = (0..100).map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.transaction("add", add_one).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("joins").expect("commits");
        }
        assert_eq!(value(database.read()).await, 100);
    }

    #[tokio::test]
    async fn a_refusal_rolls_back_and_is_not_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(&folder).await;
        let runs = AtomicU32::new(0);
        let refused: Result<(), Error> = database
            .transaction("refuse", |transaction| {
                runs.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    add_one(transaction).await?;
                    Err(Error::UniqueViolation)
                })
            })
            .await;
        assert_eq!(refused, Err(Error::UniqueViolation));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(value(database.read()).await, 0);
    }

    #[tokio::test]
    async fn a_collision_is_tried_again_and_a_snapshot_does_not_move() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = database(&folder).await;
        let runs = AtomicU32::new(0);
        let done: Result<(), Error> = database
            .transaction("collide", |transaction| {
                let run = runs.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    add_one(transaction).await?;
                    if run < 2 { Err(Error::Busy) } else { Ok(()) }
                })
            })
            .await;
        assert_eq!(done, Ok(()));
        assert_eq!(value(database.read()).await, 1);
        let writer = database.clone();
        let seen: Result<(i64, i64), Error> = database
            .snapshot("read", |snapshot| {
                Box::pin(async move {
                    let before = value(snapshot).await;
                    writer.transaction("add", add_one).await?;
                    Ok((before, value(snapshot).await))
                })
            })
            .await;
        assert_eq!(seen, Ok((1, 1)));
        assert_eq!(value(database.read()).await, 2);
    }
}
