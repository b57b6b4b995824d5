//! What can go wrong in vault, and the one place where it becomes what a caller is told.

use std::time::Duration;

use http::StatusCode;
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
    /// Keystile ships an app of that key.
    #[error("an app of this key comes with keystile: choose another")]
    AppKeyTaken,
    /// The team has as many apps as it may.
    #[error("a team may add at most 100 apps")]
    TooManyApps,
    /// It has connections or integrations.
    #[error("the app has connections or integrations: delete them first")]
    AppInUse,
    /// Another change came first.
    #[error("the app was changed meanwhile: read it again")]
    AppChanged,
    /// Keys hold what would go.
    #[error("{count} keys hold components that would be gone: {names}")]
    ComponentsInUse {
        /// How many keys.
        count: u64,
        /// The first of them.
        names: String,
    },
    /// Not every follower has confirmed a cut that a change waits for.
    #[error("the cut is not confirmed everywhere yet: try again")]
    CutPending,
    /// No such component.
    #[error("there is no such component")]
    UnknownComponent,
    /// No such connection in this team.
    #[error("there is no such connection")]
    ConnectionNotFound,
    /// No such integration in this team.
    #[error("there is no such integration")]
    IntegrationNotFound,
    /// No account can be connected through it.
    #[error("the integration is {0}: check it first")]
    IntegrationNotConfigured(&'static str),
    /// It has connections.
    #[error("accounts are connected through this integration: delete them first")]
    IntegrationInUse,
    /// Another change came first.
    #[error("the integration was changed meanwhile: read it again")]
    IntegrationChanged,
    /// No such flow, in this browser, for this integration, or not any more.
    #[error("this link was used, is too old, or belongs to another browser")]
    ConnectUnknown,
    /// The provider of an integration did not issue tokens.
    #[error("no token was issued: {0}")]
    Provider(String),
    /// Vault could not find out whether the account's token can be refreshed.
    #[error("the account's token could not be refreshed now")]
    NotRefreshed,
    /// The capability's connection cannot be used for this component.
    #[error("the connection cannot be used: {0}")]
    ConnectionUnusable(String),
    /// The capability's connection is in a state in which nothing goes out.
    #[error("the connection cannot be used: it is {status} ({reason})")]
    Unhealthy {
        /// Its status.
        status: &'static str,
        /// Why; a stable code.
        reason: String,
    },
    /// The capability is for another component.
    #[error("the capability is for another component")]
    OtherComponent,
    /// The capability is older than a cut of one of its scopes, or of another history.
    #[error("the capability is older than a cut")]
    Stale(Position),
    /// This process does not know of every cut.
    #[error("vault has no current lease")]
    NoLease,
    /// Another run, with the same idempotency key, is under way.
    #[error("a request with this idempotency key is under way")]
    RunInProgress,
    /// The idempotency key was used for something else.
    #[error("this idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// A run with this idempotency key may have reached the app, and what came of it is not known.
    #[error("an earlier request with this idempotency key may have happened, or not")]
    OutcomeUnknown,
    /// A run with this idempotency key was answered with that status, and more than is kept.
    #[error("the request with this idempotency key was done; its answer was too large to keep")]
    ResponseNotKept(StatusCode),
    /// What was unsealed is not an answer.
    #[error("a stored answer is corrupt")]
    CorruptAnswer,
    /// Inputs that the component does not take.
    #[error("the inputs do not match the component's schema")]
    Inputs(Vec<Fault>),
    /// The request to the app cannot be built.
    #[error(transparent)]
    Request(#[from] keystile_catalog::Error),
    /// As many requests as the app takes from one connection are under way.
    #[error("as many requests as the app takes from one connection at once are under way")]
    ConnectionBusy,
    /// The app's rate for one connection is used up, until so much time has passed.
    #[error("the app takes no more requests from this connection for now")]
    ConnectionRateLimited(Duration),
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
        Self::Unhealthy { status: health.status.as_str(), reason: health.reason.clone() }
    }

    /// What it means to the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::MigrationsPending(_)
            | Self::Field { .. }
            | Self::Inputs(_)
            | Self::IdempotencyKeyReused => ErrorKind::Invalid,
            Self::KeyEncryption(_) | Self::CorruptCredential | Self::CorruptAnswer => {
                ErrorKind::Internal
            }
            Self::Store(cause) => cause.kind(),
            Self::Seal(cause) | Self::Unopened { cause, .. } => cause.kind(),
            Self::Denied(_) | Self::OtherComponent => ErrorKind::Forbidden,
            Self::UnknownApp
            | Self::UnknownComponent
            | Self::ConnectionNotFound
            | Self::IntegrationNotFound
            | Self::ConnectUnknown => ErrorKind::NotFound,
            Self::ConnectionUnusable(_)
            | Self::Unhealthy { .. }
            | Self::IntegrationNotConfigured(_)
            | Self::IntegrationInUse
            | Self::IntegrationChanged
            | Self::AppKeyTaken
            | Self::AppInUse
            | Self::AppChanged
            | Self::ComponentsInUse { .. }
            | Self::RunInProgress
            | Self::OutcomeUnknown
            | Self::ResponseNotKept(_) => ErrorKind::Conflict,
            Self::Provider(_) => ErrorKind::Upstream,
            Self::Stale(_) => ErrorKind::Stale,
            Self::NoLease | Self::NotRefreshed | Self::CutPending => ErrorKind::Unavailable,
            Self::TooManyApps | Self::ConnectionBusy | Self::ConnectionRateLimited(_) => {
                ErrorKind::Exhausted
            }
            Self::Request(cause) => cause.kind(),
            Self::Egress(cause) => exchange(cause).0,
            Self::Refused(failure) => failure.kind,
        }
    }

    /// May the app have got the request that failed so? Where not, it can be made anew.
    pub(crate) const fn may_have_run(&self) -> bool {
        matches!(self, Self::Egress(cause) if !cause.reached_nobody())
    }

    /// The stable code that a caller is told.
    fn reason(&self) -> &str {
        match self {
            Self::UnknownApp => "unknown_app",
            Self::UnknownComponent => "unknown_component",
            Self::ConnectionNotFound => "connection_not_found",
            Self::AppKeyTaken => "app_key_taken",
            Self::TooManyApps => "too_many_apps",
            Self::AppInUse => "app_in_use",
            Self::AppChanged => "app_changed",
            Self::ComponentsInUse { .. } => "components_in_use",
            Self::CutPending => "cut_pending",
            Self::IntegrationNotFound => "integration_not_found",
            Self::IntegrationNotConfigured(_) => "integration_not_configured",
            Self::IntegrationInUse => "integration_in_use",
            Self::IntegrationChanged => "integration_changed",
            Self::ConnectUnknown => "connect_unknown",
            Self::Provider(_) => "provider_error",
            Self::ConnectionUnusable(_) | Self::Unhealthy { .. } => "connection_unusable",
            Self::OtherComponent => "capability_mismatch",
            Self::RunInProgress => "idempotency_in_progress",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::ResponseNotKept(_) => "response_not_kept",
            Self::ConnectionBusy => "connection_busy",
            Self::ConnectionRateLimited(_) => "connection_rate_limited",
            Self::NoLease => "no_lease",
            Self::NotRefreshed => "not_refreshed",
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
            | Self::CorruptAnswer
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
        E::Unresolved | E::Connect(_) | E::Tls | E::AfterRedirect(_) => {
            (ErrorKind::Upstream, "upstream_unreachable")
        }
        E::ConnectTimeout | E::Timeout => (ErrorKind::Timeout, "upstream_timeout"),
        E::RedirectRefused(_) => (ErrorKind::Upstream, "redirect_refused"),
        E::Protocol | E::Compressed => (ErrorKind::Upstream, "upstream_invalid"),
        E::HeadersTooLarge | E::ResponseTooLarge { .. } => {
            (ErrorKind::Upstream, "response_too_large")
        }
        E::Setup => (ErrorKind::Internal, "internal"),
    }
}

impl From<crate::oauth::Failure> for Error {
    fn from(failure: crate::oauth::Failure) -> Self {
        Self::Provider(failure.to_string())
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
            Error::Unhealthy { status, reason } => {
                let told = format!("the connection cannot be used: it is {status} ({reason})");
                Self::new(kind, "connection_unusable", told)
                    .with("connection_status", status)
                    .with("connection_reason", reason)
            }
            Error::ResponseNotKept(status) => Self::new(kind, error.reason(), error.to_string())
                .with("upstream_status", status.as_u16()),
            Error::ConnectionRateLimited(wait) => {
                Self::new(kind, error.reason(), error.to_string())
                    .with("retry_after_ms", wait.as_millis())
            }
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
