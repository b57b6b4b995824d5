//! The kinds of failure, one list for the whole product.
//!
//! A library's error says what went wrong in its own words and maps itself to one kind. The kind
//! becomes a gRPC status in `contract::status` and a problem document in `runtime::problem`, one
//! table each, and nowhere else.

/// What a failure means to whoever called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed or breaks a stated rule. Repeating it cannot help.
    Invalid,
    /// Nobody proved who they are.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// There is no such thing, or it belongs to another team.
    NotFound,
    /// The state of the thing forbids the change: revoked, in progress, changed meanwhile.
    Conflict,
    /// A limit of the plan or of the installation is reached.
    Exhausted,
    /// The position or lease that the caller works from is too old: read again, then retry.
    Stale,
    /// The outside app answered with nonsense or not at all.
    Upstream,
    /// A deadline passed before the outcome was known.
    Timeout,
    /// A dependency is down or overloaded. Retrying later can help.
    Unavailable,
    /// A defect. The cause is logged and never told.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Exhausted,
        Self::Stale,
        Self::Upstream,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];
}
