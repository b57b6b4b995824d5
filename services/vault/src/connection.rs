//! A linked account, as everyone but the outside call sees it: without its credential.

use keystile_domain::{AppKey, ConnectionId, IntegrationId, TeamId, name::Name};
use time::OffsetDateTime;

/// One linked account of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Its id.
    pub(crate) id: ConnectionId,
    /// Whose it is.
    pub(crate) team: TeamId,
    /// The app.
    pub(crate) app: AppKey,
    /// What people call it.
    pub(crate) name: Name,
    /// Its health.
    pub(crate) health: Health,
    /// How it signs in.
    pub(crate) scheme: Scheme,
    /// When it was made.
    pub(crate) created_at: OffsetDateTime,
    /// When a call last went out with it.
    pub(crate) last_used_at: Option<OffsetDateTime>,
    /// What a provider issued it; `None` without OAuth.
    pub(crate) issued: Option<Issued>,
}

/// What the provider of an integration said of the tokens that it issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// Whose provider.
    pub(crate) integration: IntegrationId,
    /// What was granted.
    pub(crate) scopes: Vec<String>,
    /// When the access token ends, if the provider said so.
    pub(crate) expires_at: Option<OffsetDateTime>,
    /// When to refresh, or to try again; `None` if that cannot be done or need not be.
    pub(crate) refresh_at: Option<OffsetDateTime>,
}

/// A status and, where it is not active, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// The status.
    pub(crate) status: Status,
    /// A stable code; empty while active.
    pub(crate) reason: String,
}

impl Health {
    /// In use.
    #[must_use]
    pub(crate) fn active() -> Self {
        Self { status: Status::Active, reason: String::new() }
    }

    /// In `status`, because of `reason`.
    #[must_use]
    pub(crate) fn because(status: Status, reason: &str) -> Self {
        Self { status, reason: reason.to_owned() }
    }

    /// What a provider's answer makes of a connection that it did not grant `missing` to.
    #[must_use]
    pub(crate) fn lacking(missing: &[String]) -> Self {
        if missing.is_empty() {
            Self::active()
        } else {
            Self::because(Status::MissingScopes, "not_granted")
        }
    }
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// In use.
    Active,
    /// The app refuses the credential: a person must connect again.
    Expired,
    /// Withdrawn.
    Revoked,
    /// The app accepts the credential and refuses what it is for.
    MissingScopes,
    /// The app does not answer.
    Failing,
}

impl Status {
    /// Every status.
    pub(crate) const ALL: [Self; 5] =
        [Self::Active, Self::Expired, Self::Revoked, Self::MissingScopes, Self::Failing];

    /// The text in databases and APIs.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::MissingScopes => "missing_scopes",
            Self::Failing => "failing",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// May an action go out with it? An outage passes, and a missing scope concerns some actions
    /// only: there the app's own answer says more.
    #[must_use]
    pub(crate) const fn may_run(self) -> bool {
        match self {
            Self::Active | Self::MissingScopes | Self::Failing => true,
            Self::Expired | Self::Revoked => false,
        }
    }
}

/// How a connection signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// A token in `Authorization`.
    Bearer,
    /// User and password.
    Basic,
    /// A secret in a header or query parameter of the app's own.
    ApiKey,
    /// Several such secrets.
    Fields,
    /// Tokens of an integration's provider.
    OAuth2,
}

impl Scheme {
    /// Every scheme.
    pub(crate) const ALL: [Self; 5] =
        [Self::Bearer, Self::Basic, Self::ApiKey, Self::Fields, Self::OAuth2];

    /// The text in databases and APIs.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::ApiKey => "api_key",
            Self::Fields => "fields",
            Self::OAuth2 => "oauth2",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == text)
    }
}
