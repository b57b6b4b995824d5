//! What can go wrong in issuance, and what a caller is told of it.

use keystile_contract::Failure;
use keystile_domain::{ErrorKind, permission::Denied};
use keystile_sql as sql;

/// A failure of a use case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or it belongs to another team.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Revocation is final.
    #[error("the key is revoked, which is final")]
    KeyRevoked,
    /// Two secrets work already.
    #[error("a rotation is in progress; wait for its overlap to end, or end it")]
    RotationInProgress,
    /// Only one secret works.
    #[error("no rotation is in progress")]
    NoOverlap,
    /// The operation was carried out before, and what it returned is not returned twice. Carries
    /// the id of the key.
    #[error("the operation was carried out before, and its token is returned only once")]
    OperationRepeated(String),
    /// The operation id names another change.
    #[error("the operation id was used for another change")]
    OperationReused,
    /// Somebody else changed it first.
    #[error("it was changed meanwhile")]
    ChangedMeanwhile,
    /// The team's id is taken.
    #[error("the team exists")]
    TeamExists,
    /// The newest token key mints, so it cannot be retired.
    #[error("the newest token key cannot be retired; add a newer one first")]
    NewestTokenKey,
    /// The plan has no API access.
    #[error("the team's plan does not include api access")]
    PlanRequired,
    /// The plan allows no more keys.
    #[error("the team's plan allows {0} keys")]
    KeyLimit(u32),
    /// A follower registers once.
    #[error("the incarnation is registered")]
    IncarnationExists,
    /// Retired, or never registered.
    #[error("the incarnation is not registered; register anew")]
    UnknownIncarnation,
    /// A follower is of one role, and only that role speaks for it.
    #[error("the follower is of another role than the caller")]
    AnotherRole,
    /// The follower's log is not this log.
    #[error("the position is of another history; register anew")]
    HistoryMismatch,
    /// The actor may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The request is at fault, or a peer's answer is passed on.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The database.
    #[error(transparent)]
    Store(#[from] sql::Error),
    /// A defect.
    #[error("{0}")]
    Defect(&'static str),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::KeyRevoked
            | Self::RotationInProgress
            | Self::NoOverlap
            | Self::OperationRepeated(_)
            | Self::OperationReused
            | Self::ChangedMeanwhile
            | Self::TeamExists
            | Self::NewestTokenKey
            | Self::IncarnationExists => ErrorKind::Conflict,
            Self::PlanRequired | Self::AnotherRole | Self::Denied(_) => ErrorKind::Forbidden,
            Self::KeyLimit(_) => ErrorKind::Exhausted,
            Self::UnknownIncarnation | Self::HistoryMismatch => ErrorKind::Stale,
            Self::Refused(failure) => failure.kind,
            Self::Store(cause) => cause.kind(),
            Self::Defect(_) => ErrorKind::Internal,
        }
    }

    /// The stable code that a program acts on.
    const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::KeyRevoked => "key_revoked",
            Self::RotationInProgress => "rotation_in_progress",
            Self::NoOverlap => "no_overlap",
            Self::OperationRepeated(_) => "operation_repeated",
            Self::OperationReused => "operation_reused",
            Self::ChangedMeanwhile => "changed_meanwhile",
            Self::TeamExists => "team_exists",
            Self::NewestTokenKey => "newest_token_key",
            Self::PlanRequired => "plan_required",
            Self::KeyLimit(_) => "key_limit_reached",
            Self::IncarnationExists => "incarnation_exists",
            Self::UnknownIncarnation => "unknown_incarnation",
            Self::AnotherRole => "role_mismatch",
            Self::HistoryMismatch => "history_mismatch",
            Self::Denied(_) => "permission_denied",
            Self::Refused(_) => "refused",
            Self::Store(_) => "unavailable",
            Self::Defect(_) => "internal",
        }
    }
}

impl sql::Collides for Error {
    fn collides(&self) -> bool {
        matches!(self, Self::Store(sql::Error::Busy))
    }
}

/// The one place where a caller's view of a failure is made: no driver text, no cause.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason, message) = (error.kind(), error.reason(), error.to_string());
        match error {
            Error::Refused(failure) => failure,
            Error::Denied(denied) => denied.into(),
            Error::OperationRepeated(key) => Self::new(kind, reason, message).with("key_id", key),
            Error::KeyLimit(max) => Self::new(kind, reason, message).with("max_keys", max),
            Error::Defect(cause) => {
                tracing::error!(cause, "a defect");
                Self::internal()
            }
            Error::Store(cause) if kind == ErrorKind::Internal => {
                tracing::error!(%cause, "the store failed");
                Self::internal()
            }
            Error::Store(_) => {
                Self::new(ErrorKind::Unavailable, reason, "the database cannot answer now")
            }
            _ => Self::new(kind, reason, message),
        }
    }
}
