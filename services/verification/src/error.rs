//! Why there is no verdict. A refused key is a verdict, not one of these.

use keystile_contract::Failure;
use keystile_domain::ErrorKind;

/// No verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Issuance did not answer, and what is in memory may not be used.
    #[error("issuance cannot be asked now")]
    Lookup,
    /// More look-ups are under way than are admitted.
    #[error("too many look-ups are under way")]
    Overloaded,
    /// What issuance answered was overtaken by changes each time.
    #[error("the facts kept changing; ask again")]
    Outdated,
    /// A capability is not this role's to seal for that audience, or facts are not what they
    /// must be.
    #[error("{0}")]
    Defect(&'static str),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup | Self::Overloaded | Self::Outdated => ErrorKind::Unavailable,
            Self::Defect(_) => ErrorKind::Internal,
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Lookup => "issuance_unavailable",
            Self::Overloaded => "overloaded",
            Self::Outdated => "facts_outdated",
            Self::Defect(_) => "internal",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Defect(what) => {
                tracing::error!(what, "verification is defective");
                Self::internal()
            }
            Error::Lookup | Error::Overloaded | Error::Outdated => {
                Self::new(error.kind(), error.reason(), error.to_string())
            }
        }
    }
}
