//! What can go wrong in the console, and how it is told.

use keystile_contract::{Failure, status::Fault};
use keystile_domain::{
    ErrorKind, InvalidSetting, MemberRole, name::InvalidText, permission::Denied,
};
use keystile_runtime::Problem;

use crate::{email::InvalidEmail, password::HashError, store, token_use::Unusable};

/// A failure of the console.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidSetting),
    /// Migrations have not been applied; on Postgres the operator applies them.
    #[error("pending migrations of the console: {}; run keystile migrate", .0.join(", "))]
    MigrationsPending(Vec<String>),
    /// Not an e-mail address.
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    /// A name breaks a rule.
    #[error("{field} {rule}")]
    Name {
        /// The field.
        field: &'static str,
        /// The rule.
        rule: InvalidText,
    },
    /// An end that is not in the future.
    #[error("expiresAt must be in the future")]
    PastExpiry,
    /// The address has a user already, so it cannot found another team.
    #[error("a user with this e-mail address exists; bootstrap makes the first owner of a team")]
    EmailTaken,
    /// Nobody proved who they are.
    #[error(transparent)]
    Unauthenticated(#[from] Unusable),
    /// A permission is missing.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A management token above the role of whoever asks.
    #[error("a management token cannot be above your own role")]
    AboveOwnRole {
        /// The role that would be needed.
        required: MemberRole,
        /// The role that there is.
        held: MemberRole,
    },
    /// The team has no such management token. Told in the words of every other missing id.
    #[error("the team has nothing of this id")]
    TokenNotFound,
    /// The password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The database.
    #[error(transparent)]
    Store(store::Error),
    /// Another service refused or failed.
    #[error(transparent)]
    Peer(#[from] Failure),
}

impl From<store::Error> for Error {
    fn from(cause: store::Error) -> Self {
        match cause {
            store::Error::EmailTaken => Self::EmailTaken,
            store::Error::Database(_) => Self::Store(cause),
        }
    }
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Email(_) | Self::Name { .. } | Self::PastExpiry => {
                ErrorKind::Invalid
            }
            Self::MigrationsPending(_) => ErrorKind::Unavailable,
            Self::EmailTaken => ErrorKind::Conflict,
            Self::Unauthenticated(_) => ErrorKind::Unauthenticated,
            Self::Denied(_) | Self::AboveOwnRole { .. } => ErrorKind::Forbidden,
            Self::TokenNotFound => ErrorKind::NotFound,
            Self::Hash(_) => ErrorKind::Internal,
            Self::Store(cause) => cause.kind(),
            Self::Peer(failure) => failure.kind,
        }
    }

    /// The stable code.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Config(_) => "invalid_config",
            Self::MigrationsPending(_) => "migrations_pending",
            Self::Email(_) | Self::Name { .. } | Self::PastExpiry => "invalid_request",
            Self::EmailTaken => "email_taken",
            Self::Unauthenticated(unusable) => unusable.reason(),
            Self::Denied(_) => "permission_denied",
            Self::AboveOwnRole { .. } => "role_too_high",
            Self::TokenNotFound => "not_found",
            Self::Hash(_) => "internal",
            Self::Store(cause) => match cause.kind() {
                ErrorKind::Unavailable => "unavailable",
                _ => "internal",
            },
            // A peer's failure keeps its own reason and never gets here.
            Self::Peer(_) => "refused",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason) = (error.kind(), error.reason());
        let mut failure = Self::new(kind, reason, error.to_string());
        match error {
            Error::Peer(failure) => return failure,
            Error::Denied(denied) => return denied.into(),
            Error::AboveOwnRole { required, held } => {
                failure = failure.with("required", required.as_str()).with("held", held.as_str());
            }
            Error::Name { field, rule } => {
                let message = rule.to_string();
                failure.faults.push(Fault { field: field.into(), message });
            }
            Error::PastExpiry => {
                let message = "must be in the future".to_owned();
                let field = "expires_at".into();
                failure.faults.push(Fault { field, message });
            }
            // The cause was logged where it was classified; its words are not the caller's business.
            Error::Hash(_) | Error::Store(_) if kind == ErrorKind::Internal => {
                return Self::internal();
            }
            Error::Config(_)
            | Error::MigrationsPending(_)
            | Error::Email(_)
            | Error::EmailTaken
            | Error::Unauthenticated(_)
            | Error::TokenNotFound
            | Error::Hash(_)
            | Error::Store(_) => {}
        }
        failure
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
