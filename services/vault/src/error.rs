//! What can go wrong in vault, and the one place where it becomes what a caller is told.

use keystile_catalog::Fault;
use keystile_contract::{Failure, status};
use keystile_domain::{ErrorKind, InvalidSetting, Position, TeamId, permission::Denied};

use crate::connection::Health;

/// A failed request, or a service that cannot be built. Its text never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] InvalidSetting),
    /// The schema is older than this version needs.
    #[error("run `keystile migrate`: vault has pending migrations: {}", .0.join(", "))]
    MigrationsPending(Vec<String>),
    /// Stored credentials need a key-encryption key that is absent, or another under its version.
    #[error("vault cannot start: stored credentials need a key-encryption key: {0}")]
    KeyEncryption(keystile_seal::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] keystile_sql::Error),
    /// A value cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] keystile_seal::Error),
    /// Something at rest cannot be opened while keys are rotated.
    #[error("the {what} {id} of {team} cannot be opened: {cause}")]
    Unopened {
        /// A data key, or what a value is sealed for.
        what: &'static str,
        /// The data key, or the row that has the value.
        id: String,
        /// Whose it is.
        team: TeamId,
        /// Why not.
        cause: keystile_seal::Error,
    },
    /// What was unsealed is not a credential.
    #[error("a stored credential is corrupt")]
    CorruptCredential,
    /// The caller may not do that.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A field of the request is bad.
    #[error("{field}: {problem}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No such app.
    #[error("there is no such app")]
    UnknownApp,
    /// No such component.
    #[error("there is no such component")]
    UnknownComponent,
    /// No such connection in this team.
    #[error("there is no such connection")]
    ConnectionNotFound,
    /// The capability's connection cannot be used for this component.
    #[error("the connection cannot be used: {0}")]
    ConnectionUnusable(String),
    /// The capability is for another component.
    #[error("the capability is for another component")]
    OtherComponent,
    /// The capability is older than a cut of one of its scopes, or of another history.
    #[error("the capability is older than a cut")]
    Stale(Position),
    /// This process does not know of every cut.
    #[error("vault has no current lease")]
    NoLease,
    /// Inputs that the component does not take.
    #[error("the inputs do not match the component's schema")]
    Inputs(Vec<Fault>),
    /// The request to the app cannot be built.
    #[error(transparent)]
    Request(#[from] keystile_catalog::Error),
    /// The exchange with the app failed.
    #[error(transparent)]
    Egress(#[from] keystile_egress::Error),
    /// A request could not even be read.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl Error {
    /// A bad field.
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }

    /// The capability's connection is in a state in which nothing goes out.
    pub(crate) fn unhealthy(health: &Health) -> Self {
        let Health { status, reason } = health;
        Self::ConnectionUnusable(if reason.is_empty() {
            format!("it is {}", status.as_str())
        } else {
            format!("it is {} ({reason})", status.as_str())
        })
    }

    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::MigrationsPending(_) | Self::Field { .. } | Self::Inputs(_) => {
                ErrorKind::Invalid
            }
            Self::KeyEncryption(_) | Self::CorruptCredential => ErrorKind::Internal,
            Self::Store(cause) => cause.kind(),
            Self::Seal(cause) | Self::Unopened { cause, .. } => cause.kind(),
            Self::Denied(_) | Self::OtherComponent => ErrorKind::Forbidden,
            Self::UnknownApp | Self::UnknownComponent | Self::ConnectionNotFound => {
                ErrorKind::NotFound
            }
            Self::ConnectionUnusable(_) => ErrorKind::Conflict,
            Self::Stale(_) => ErrorKind::Stale,
            Self::NoLease => ErrorKind::Unavailable,
            Self::Request(cause) => cause.kind(),
            Self::Egress(cause) => exchange(cause).0,
            Self::Refused(failure) => failure.kind,
        }
    }

    /// The stable code that a caller is told.
    fn reason(&self) -> &str {
        match self {
            Self::UnknownApp => "unknown_app",
            Self::UnknownComponent => "unknown_component",
            Self::ConnectionNotFound => "connection_not_found",
            Self::ConnectionUnusable(_) => "connection_unusable",
            Self::OtherComponent => "capability_mismatch",
            Self::NoLease => "no_lease",
            Self::Inputs(_) | Self::Request(_) => "invalid_inputs",
            Self::Egress(cause) => exchange(cause).1,
            Self::Refused(failure) => &failure.reason,
            Self::Store(_) => "store_unavailable",
            Self::Config(_)
            | Self::MigrationsPending(_)
            | Self::KeyEncryption(_)
            | Self::Seal(_)
            | Self::Unopened { .. }
            | Self::CorruptCredential
            | Self::Denied(_)
            | Self::Field { .. }
            | Self::Stale(_) => "refused",
        }
    }
}

/// What a failed exchange means to the holder of a key: the app's trouble, unless the request
/// itself cannot be sent.
const fn exchange(error: &keystile_egress::Error) -> (ErrorKind, &'static str) {
    use keystile_egress::Error as E;
    match error {
        E::Url(_) | E::MethodRefused | E::RequestTooLarge { .. } => {
            (ErrorKind::Invalid, "invalid_inputs")
        }
        E::Credential => (ErrorKind::Conflict, "connection_unusable"),
        E::AddressRefused(_) | E::PlainHttpRefused => (ErrorKind::Upstream, "address_refused"),
        E::Overloaded => (ErrorKind::Unavailable, "overloaded"),
        E::Unresolved | E::Connect(_) | E::Tls => (ErrorKind::Upstream, "upstream_unreachable"),
        E::Timeout => (ErrorKind::Timeout, "upstream_timeout"),
        E::RedirectRefused(_) => (ErrorKind::Upstream, "redirect_refused"),
        E::Protocol | E::Compressed => (ErrorKind::Upstream, "upstream_invalid"),
        E::HeadersTooLarge | E::ResponseTooLarge { .. } => {
            (ErrorKind::Upstream, "response_too_large")
        }
        E::Setup => (ErrorKind::Internal, "internal"),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        if kind == ErrorKind::Internal {
            tracing::error!(%error, "a request failed");
            return Self::internal();
        }
        match error {
            Error::Refused(failure) => failure,
            Error::Denied(denied) => denied.into(),
            Error::Stale(needed) => Self::stale_capability(&needed),
            Error::Field { field, problem } => Self::invalid(field, problem),
            Error::Inputs(faults) => {
                let mut failure =
                    Self::new(kind, "invalid_inputs", "the inputs do not match the schema");
                failure.faults = faults
                    .into_iter()
                    .map(|fault| status::Fault { field: fault.pointer, message: fault.message })
                    .collect();
                failure
            }
            Error::Request(keystile_catalog::Error::Input { pointer, problem }) => {
                let mut failure = Self::new(kind, "invalid_inputs", "an input cannot be sent");
                failure.faults =
                    vec![status::Fault { field: pointer, message: problem.to_owned() }];
                failure
            }
            error => Self::new(kind, error.reason(), error.to_string()),
        }
    }
}
