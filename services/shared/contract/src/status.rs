//! Errors on the wire: [`ErrorKind`] ↔ gRPC status, one table, and the details that travel along.
//!
//! Details use `google.rpc.ErrorInfo` (a stable reason and its facts) and `google.rpc.BadRequest`
//! (one violation per bad field), see <https://google.aip.dev/193>.

use std::collections::{BTreeMap, HashMap};

use keystile_domain::{ErrorKind, Position};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `ErrorInfo`.
const DOMAIN: &str = "keystile";

/// Reasons that mean [`ErrorKind::Stale`]; any other failed precondition is a conflict.
const STALE_REASONS: [&str; 3] = ["stale_capability", "unknown_incarnation", "history_mismatch"];

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A field path (`grants[0].app_key`) or the JSON pointer of a bad input (`/to/0`).
    pub field: String,
    /// What is wrong and what would be right. Never repeats the value.
    pub message: String,
}

/// A failure as it crosses a boundary: what a caller is told, and nothing of the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means.
    pub kind: ErrorKind,
    /// A stable snake-case code, for example `key_revoked`.
    pub reason: String,
    /// One sentence for a person.
    pub message: String,
    /// The bad fields, where the request is to blame.
    pub faults: Vec<Fault>,
    /// What else a program can use, for example `key_id`.
    pub facts: BTreeMap<String, String>,
}

impl Failure {
    /// A failure without details.
    pub fn new(kind: ErrorKind, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            message: message.into(),
            faults: Vec::new(),
            facts: BTreeMap::new(),
        }
    }

    /// A malformed request, by its one bad field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        let mut failure =
            Self::new(ErrorKind::Invalid, "invalid_argument", format!("{field}: {message}"));
        failure.faults.push(Fault { field, message });
        failure
    }

    /// A defect. The cause belongs in the log of whoever found it, not here.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorKind::Internal, "internal", "internal error")
    }

    /// The answer to a call whose deadline passed before its answer began.
    #[must_use]
    pub fn deadline_exceeded() -> Self {
        Self::new(ErrorKind::Timeout, "deadline_exceeded", "the deadline passed")
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }

    /// The answer to a capability older than a tombstone: what the next one must reflect.
    #[must_use]
    pub fn stale_capability(needed: &Position) -> Self {
        Self::new(ErrorKind::Stale, "stale_capability", "the capability is older than a cut")
            .with("needed_history", needed.history)
            .with("needed_seq", needed.seq)
    }

    /// The position a stale capability must reach, if this is such an answer.
    #[must_use]
    pub fn needed_position(&self) -> Option<Position> {
        Some(Position {
            history: self.facts.get("needed_history")?.parse().ok()?,
            seq: self.facts.get("needed_seq")?.parse().ok()?,
        })
    }
}

/// The gRPC code of a kind.
#[must_use]
pub const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict | ErrorKind::Stale => Code::FailedPrecondition,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Upstream => Code::Aborted,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The kind of a gRPC code, from a peer that may not be ours.
#[must_use]
pub fn kind(code: Code, reason: &str) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::NotFound => ErrorKind::NotFound,
        Code::FailedPrecondition if STALE_REASONS.contains(&reason) => ErrorKind::Stale,
        Code::FailedPrecondition | Code::AlreadyExists => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::Aborted => ErrorKind::Upstream,
        // tonic reports a deadline that passed at the client as cancelled.
        Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Timeout,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            ErrorKind::Internal
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let facts: HashMap<_, _> = failure.facts.into_iter().collect();
        details.set_error_info(failure.reason, DOMAIN, facts);
        for fault in failure.faults {
            details.add_bad_request_violation(fault.field, fault.message);
        }
        Self::with_error_details(code(failure.kind), failure.message, details)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let reason = info.map_or("", |info| info.reason.as_str());
        let kind = kind(status.code(), reason);
        let Some(info) = info else {
            // Text of a transport or of a stranger is not ours to pass on.
            return match kind {
                ErrorKind::Timeout => Self::new(kind, "timeout", "the deadline passed"),
                ErrorKind::Unavailable => Self::new(kind, "unavailable", "a service is down"),
                ErrorKind::Internal => Self::internal(),
                _ => Self::new(kind, "refused", "a service refused the request"),
            };
        };
        let faults = details.bad_request().map(|bad| &bad.field_violations);
        let faults = faults.into_iter().flatten().map(|violation| Fault {
            field: violation.field.clone(),
            message: violation.description.clone(),
        });
        Self {
            kind,
            reason: info.reason.clone(),
            message: status.message().to_owned(),
            faults: faults.collect(),
            facts: info.metadata.clone().into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in ErrorKind::ALL {
            let reason = if kind == ErrorKind::Stale { "stale_capability" } else { "some_reason" };
            let mut sent = Failure::new(kind, reason, "a message").with("key_id", "key_1");
            sent.faults.push(Fault { field: "/to/0".into(), message: "must be a string".into() });
            assert_eq!(Failure::from(Status::from(sent.clone())), sent);
        }
    }

    #[test]
    fn a_stranger_s_text_is_not_passed_on() {
        let failure = Failure::from(Status::unavailable("dial tcp 10.0.0.1: connection refused"));
        assert_eq!(failure.kind, ErrorKind::Unavailable);
        assert!(!failure.message.contains("10.0.0.1"));
    }
}
