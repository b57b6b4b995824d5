//! Statements that end, whatever the server does.

use std::{io, time::Duration};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait, sqlx,
};

use crate::Error;

/// A connection or a transaction, each of whose statements fails as unavailable once it has taken
/// `limit`. A server's own time-outs end what is slow; this ends what is never answered, because
/// the server hangs or its machine vanished.
#[derive(Debug, Clone)]
pub struct Bounded<C> {
    pub(crate) inner: C,
    pub(crate) limit: Option<Duration>,
}

impl Bounded<DatabaseConnection> {
    /// Waits for a connection, and for the transaction to begin on it.
    pub(crate) async fn begin(
        &self,
        options: TransactionOptions,
    ) -> Result<Bounded<DatabaseTransaction>, Error> {
        let begun = within(self.limit, self.inner.begin_with_options(options)).await?;
        Ok(Bounded { inner: begun, limit: self.limit })
    }

    /// Does the database answer?
    ///
    /// # Errors
    /// If it does not, or not in time.
    pub async fn ping(&self) -> Result<(), DbErr> {
        within(self.limit, self.inner.ping()).await
    }
}

impl Bounded<DatabaseTransaction> {
    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(within(self.limit, self.inner.commit()).await?)
    }
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, DbErr>> + Send,
) -> Result<T, DbErr> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let late = sqlx::Error::Io(io::ErrorKind::TimedOut.into());
        Err(DbErr::Conn(RuntimeErr::SqlxError(late.into())))
    })
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Bounded<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        within(self.limit, self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        within(self.limit, self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        within(self.limit, self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        within(self.limit, self.inner.query_all_raw(statement)).await
    }
}
