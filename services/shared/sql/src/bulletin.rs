//! What processes on one Postgres tell one another, by LISTEN and NOTIFY
//! (<https://www.postgresql.org/docs/current/sql-notify.html>). Hints: who does not listen, or loses
//! its connection, misses them.

use std::future::pending;

use sea_orm::{
    ConnectionTrait, Statement,
    sqlx::postgres::{PgListener, PgNotification},
};

use crate::{Backend, Database, Error};

/// The longest text, bytes.
pub const LONGEST: usize = 7_000;

/// Hears what is told on one channel.
pub struct Listener(Option<PgListener>);

impl Database {
    /// Tells every process that listens, this one too. On SQLite there is no other: nothing is done.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; a text beyond [`LONGEST`] is [`Error::Other`].
    pub async fn tell(&self, channel: &str, text: &str) -> Result<(), Error> {
        if self.backend == Backend::Sqlite {
            return Ok(());
        }
        if text.len() > LONGEST {
            return Err(Error::Other);
        }
        let statement = Statement::from_sql_and_values(
            self.connection.get_database_backend(),
            "SELECT pg_notify($1, $2)",
            [channel.into(), text.into()],
        );
        self.connection.execute_raw(statement).await?;
        Ok(())
    }

    /// Hears what is told on `channel` from now on. Keeps one connection of the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn listen(&self, channel: &str) -> Result<Listener, Error> {
        if self.backend == Backend::Sqlite {
            return Ok(Listener(None));
        }
        let pool = self.connection.inner.get_postgres_connection_pool();
        let mut listener = PgListener::connect_with(pool).await.map_err(|_| Error::Unavailable)?;
        listener.listen(channel).await.map_err(|_| Error::Unavailable)?;
        Ok(Listener(Some(listener)))
    }
}

impl Listener {
    /// The next text; `None` if the connection was lost and made again, so that some may be missing.
    /// On SQLite it never comes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        let Some(listener) = &mut self.0 else { return pending().await };
        let heard = listener.try_recv().await.map_err(|_| Error::Unavailable)?;
        Ok(heard.as_ref().map(PgNotification::payload).map(str::to_owned))
    }
}
