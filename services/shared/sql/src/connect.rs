//! Connecting, by the URL's scheme.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DatabaseConnection,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::{Bounded, Error, postgres};

/// Which database is behind a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// One file, one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// How many connections, and how long anything about them may take. A request that writes waits for
/// a connection, for locks and for its statements: all of it ends within seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Connections at most.
    pub max_connections: u32,
    /// How long to wait for a free one, or for a new one to be made, before the database counts as
    /// unavailable.
    pub acquire_timeout: Duration,
    /// Postgres: how long a connection that nobody uses is kept.
    pub idle_timeout: Duration,
    /// Postgres: how long a connection is used at most.
    pub max_lifetime: Duration,
    /// Postgres: how long a statement may take. Migrations may take longer.
    pub statement_timeout: Duration,
    /// Postgres: how long a statement may wait for another transaction's lock. Longer than the
    /// server's `deadlock_timeout` (1 s), so that a deadlock is known as one.
    pub lock_timeout: Duration,
    /// Postgres: how long an open transaction may do nothing, holding its locks.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(10),
            max_lifetime: Duration::from_mins(30),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(5),
        }
    }
}

/// How long SQLite waits for another process's write.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    pub(crate) connection: Bounded<DatabaseConnection>,
    pub(crate) backend: Backend,
    /// SQLite has one writer: waiting for it here is fair, and free of SQLite's polling.
    pub(crate) writer: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Database {
    /// Connects to the database at `url`: `sqlite://path` (created if missing; WAL, every commit
    /// flushed to disk, deleted content overwritten) or `postgres://…`.
    ///
    /// # Errors
    /// [`Error::Url`] for another scheme, [`Error::Unavailable`] if it cannot be reached,
    /// [`Error::NotDurable`] if a Postgres could lose what it acknowledged, or is no primary.
    pub async fn connect(url: &SecretString, pool: Pool) -> Result<Self, Error> {
        let url = url.expose_secret();
        let backend = match url.split_once(':') {
            Some(("sqlite", _)) => Backend::Sqlite,
            Some(("postgres" | "postgresql", _)) => Backend::Postgres,
            _ => return Err(Error::Url),
        };
        let mut options = ConnectOptions::new(url.to_owned());
        options
            .max_connections(pool.max_connections)
            .acquire_timeout(pool.acquire_timeout)
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .map_sqlx_sqlite_opts(|options| {
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .busy_timeout(SQLITE_BUSY_TIMEOUT)
                    .pragma("secure_delete", "ON")
            });
        let limit = match backend {
            Backend::Sqlite => {
                // SQLite in a file needs no keep-alive; an idle connection costs only a file handle.
                options.idle_timeout(None).max_lifetime(None);
                None
            }
            Backend::Postgres => Some(postgres::bound(&mut options, pool)),
        };
        let connection = Bounded { inner: sea_orm::Database::connect(options).await?, limit };
        if backend == Backend::Postgres {
            postgres::check_durable(&connection).await?;
        }
        Ok(Self { connection, backend, writer: Arc::default() })
    }

    /// Which database this is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// For single reads. What two of them see may differ: use [`Database::snapshot`] where it must
    /// not.
    #[must_use]
    pub const fn read(&self) -> &Bounded<DatabaseConnection> {
        &self.connection
    }
}
