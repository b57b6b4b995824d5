//! What can go wrong with a database, without the driver's words.

use keystile_domain::ErrorKind;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// A database failure. Its cause was logged where it was classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another transaction stood in the way; the same one can be tried again.
    #[error("the database is busy")]
    Busy,
    /// A row with these unique values exists.
    #[error("a row with these values exists")]
    UniqueViolation,
    /// The database cannot be reached, is full, or did not give a connection, a lock or an answer in
    /// time.
    #[error("the database is unavailable")]
    Unavailable,
    /// A stored value is not what the program wrote; names the column.
    #[error("a stored {0} is corrupt")]
    Corrupt(&'static str),
    /// The URL is not one of a supported database.
    #[error("expected a database URL that starts with sqlite:// or postgres://")]
    Url,
    /// The server would lose or hide what was acknowledged; says what it must be.
    #[error("the database server {0}")]
    NotDurable(&'static str),
    /// Anything else: a defect.
    #[error("the database refused a statement")]
    Other,
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy | Self::Unavailable => ErrorKind::Unavailable,
            Self::UniqueViolation => ErrorKind::Conflict,
            Self::Url | Self::NotDurable(_) => ErrorKind::Invalid,
            Self::Corrupt(_) | Self::Other => ErrorKind::Internal,
        }
    }
}

impl From<DbErr> for Error {
    fn from(cause: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = cause.sql_err() {
            return Self::UniqueViolation;
        }
        let error = match &cause {
            DbErr::ConnectionAcquire(_) => Self::Unavailable,
            DbErr::Conn(RuntimeErr::SqlxError(driver))
            | DbErr::Exec(RuntimeErr::SqlxError(driver))
            | DbErr::Query(RuntimeErr::SqlxError(driver)) => classify(driver),
            _ => Self::Other,
        };
        // Values are never part of a driver's message: statements are prepared.
        if error == Self::Busy {
            tracing::debug!(cause = %cause, "the database is busy");
        } else {
            tracing::warn!(cause = %cause, "a statement failed");
        }
        error
    }
}

fn classify(driver: &sqlx::Error) -> Error {
    match driver {
        sqlx::Error::Database(error) => error.code().map_or(Error::Other, |code| by_code(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Error::Unavailable,
        _ => Error::Other,
    }
}

/// SQLite's result codes are numbers (<https://sqlite.org/rescode.html>, the low byte is the primary
/// code), Postgres' are SQLSTATEs of five characters (its manual, appendix A).
fn by_code(code: &str) -> Error {
    if let Some(sqlite) = code.parse::<u32>().ok().filter(|_| code.len() != 5) {
        return match sqlite & 0xff {
            5 | 6 => Error::Busy,
            // I/O error, full, cannot open.
            10 | 13 | 14 => Error::Unavailable,
            _ => Error::Other,
        };
    }
    match code {
        "40001" | "40P01" => Error::Busy,
        // A lock that was held for as long as anyone waits for one: waiting again would not help.
        // And a transaction that was idle, or open, for too long.
        "55P03" | "25P03" | "25P04" => Error::Unavailable,
        _ if ["08", "53", "57"].contains(&&code[..2.min(code.len())]) => Error::Unavailable,
        _ => Error::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_mean_what_their_manuals_say() {
        for (code, expected) in [
            ("5", Error::Busy),
            ("517", Error::Busy),
            ("13", Error::Unavailable),
            ("1", Error::Other),
            ("40001", Error::Busy),
            ("40P01", Error::Busy),
            ("08006", Error::Unavailable),
            ("57P01", Error::Unavailable),
            ("57014", Error::Unavailable),
            ("55P03", Error::Unavailable),
            ("25P03", Error::Unavailable),
            ("42P01", Error::Other),
        ] {
            assert_eq!(by_code(code), expected, "{code}");
        }
    }
}
