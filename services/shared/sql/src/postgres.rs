//! What every connection to a Postgres is told, and what its server must be.

use std::{io, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, DbBackend, Statement,
    sqlx::{self, Connection as _},
};

use crate::{Error, Pool};

/// What `pg_stat_activity` shows.
const APPLICATION: &str = "keystile";
/// How much longer than a statement may take its answer may take to arrive.
const TRAVEL: Duration = Duration::from_secs(1);
/// The server's TCP settings, seconds: it forgets a client that vanished within a minute, and not
/// within hours. The driver has none for this side; [`bound`] stands in.
const KEEPALIVES: [(&str, u32); 3] =
    [("tcp_keepalives_idle", 30), ("tcp_keepalives_interval", 10), ("tcp_keepalives_count", 3)];

/// Bounds everything that a connection may wait for. Returns how long a statement may take until
/// its answer is here.
pub(crate) fn bound(options: &mut ConnectOptions, pool: Pool) -> Duration {
    let limit = pool.statement_timeout + TRAVEL;
    let timeouts = [
        ("statement_timeout", pool.statement_timeout),
        ("lock_timeout", pool.lock_timeout),
        ("idle_in_transaction_session_timeout", pool.idle_in_transaction_timeout),
    ];
    options
        .set_application_name(APPLICATION)
        .idle_timeout(pool.idle_timeout)
        .max_lifetime(pool.max_lifetime)
        .map_sqlx_postgres_opts(move |options| {
            options
                .options(timeouts.map(|(name, timeout)| (name, timeout.as_millis())))
                .options(KEEPALIVES)
        })
        .map_sqlx_postgres_pool_opts(move |options| {
            // The driver asks whether a connection still works before it is free again, without
            // an end: places in the pool would stay taken by a server that vanished.
            options.after_release(move |connection, _| {
                Box::pin(async move {
                    let answer = tokio::time::timeout(limit, connection.ping()).await;
                    let late = |_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
                    answer.unwrap_or_else(late).map(|()| true)
                })
            })
        });
    limit
}

/// What was acknowledged must be on disk, or a cut that returned could come undone (design §6.1).
pub(crate) async fn check_durable(connection: &impl ConnectionTrait) -> Result<(), Error> {
    const SETTINGS: &str = "SELECT current_setting('synchronous_commit') <> 'off', \
         current_setting('fsync') = 'on', NOT pg_is_in_recovery()";
    let statement = Statement::from_string(DbBackend::Postgres, SETTINGS);
    let row = connection.query_one_raw(statement).await?.ok_or(Error::Other)?;
    let rules = [
        "must not have synchronous_commit off for this login",
        "must not have fsync off",
        "must be the primary, not a standby",
    ];
    for (at, rule) in rules.into_iter().enumerate() {
        if !row.try_get_by_index::<bool>(at)? {
            return Err(Error::NotDurable(rule));
        }
    }
    Ok(())
}
