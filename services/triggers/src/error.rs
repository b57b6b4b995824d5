//! What can go wrong in triggers, and the one place where it becomes what a caller is told.

use keystile_contract::Failure;
use keystile_domain::ErrorKind;

/// A failed request, or a service that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The schema is older than this version needs.
    #[error("run `keystile migrate`: triggers has pending migrations: {}", .0.join(", "))]
    MigrationsPending(Vec<String>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] keystile_sql::Error),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::MigrationsPending(_) => ErrorKind::Invalid,
            Self::Store(cause) => cause.kind(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Internal => {
                tracing::error!(%error, "a request failed");
                Self::internal()
            }
            kind => Self::new(kind, "store_unavailable", error.to_string()),
        }
    }
}
