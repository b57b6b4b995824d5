//! What verification knows of a key, and the decision that it takes afresh from it each time.
//!
//! Caches hold [`KeyFacts`], never a decision: expiry, IP list and the like are judged per request.

use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::{
    ComponentId, ConnectionId, Environment, Grant, KeyId, Refusal, Scope, SecretId, TeamId,
    Verdict, limits::Limits, token::Kid,
};

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Stopped for a while.
    Disabled,
    /// Stopped for good.
    Revoked,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Active, Self::Disabled, Self::Revoked];

    /// The text in APIs and databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// One secret of a key, as it is at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFacts {
    /// Which.
    pub id: SecretId,
    /// The Argon2id PHC string of the whole token.
    pub phc: Box<str>,
    /// The token key that authenticates it.
    pub token_key_version: u8,
    /// The end of a rotation's overlap.
    pub not_after: Option<OffsetDateTime>,
}

/// A grant, and whether the account behind it is in a state to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFacts {
    /// The grant.
    pub grant: Grant,
    /// False while its connection or integration is revoked, deleted or disabled.
    pub usable: bool,
}

/// Everything a verdict depends on, as of one position of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The key.
    pub key: KeyId,
    /// Its team.
    pub team: TeamId,
    /// Its public id.
    pub kid: Kid,
    /// Its name.
    pub name: Box<str>,
    /// Its environment.
    pub environment: Environment,
    /// Its state.
    pub status: KeyStatus,
    /// Is its team suspended?
    pub team_suspended: bool,
    /// Does its team's plan include API access?
    pub api_access: bool,
    /// When it stops by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// Where it may be used from; empty is anywhere.
    pub ip_allow_list: Box<[IpNet]>,
    /// How much it may be used.
    pub limits: Limits,
    /// One secret, or two during an overlap.
    pub secrets: Box<[SecretFacts]>,
    /// One grant an app.
    pub grants: Box<[GrantFacts]>,
}

/// What is asked of a key.
#[derive(Debug, Clone, Default)]
pub struct Request<'r> {
    /// The component to be used; `None` asks about the key alone.
    pub component: Option<&'r ComponentId>,
    /// The account to be used; `None` takes the one of the grant.
    pub connection: Option<ConnectionId>,
    /// Where the request came from; `None` where the caller does not say.
    pub source_ip: Option<IpAddr>,
}

impl KeyFacts {
    /// The scopes whose cuts make these facts stale.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let grants = self.grants.iter().flat_map(|held| {
            let connection = held.grant.connection().map(Scope::Connection);
            let integration = held.grant.integration().map(Scope::Integration);
            connection.into_iter().chain(integration)
        });
        [Scope::Key(self.key), Scope::Team(self.team)].into_iter().chain(grants)
    }

    /// Decides one request, for a caller who proved to hold `secret`. Limits are checked by
    /// verification afterwards, since they need a counter.
    #[must_use]
    pub fn decide(
        &self,
        secret: SecretId,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Verdict<'_> {
        match self.check(secret, request, now) {
            Ok(grant) => Verdict::Allow { grant },
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    fn check(
        &self,
        secret: SecretId,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<&Grant>, Refusal> {
        let secret = self.secrets.iter().find(|held| held.id == secret).ok_or(Refusal::Invalid)?;
        match self.status {
            KeyStatus::Active => {}
            KeyStatus::Disabled => return Err(Refusal::Disabled),
            KeyStatus::Revoked => return Err(Refusal::Revoked),
        }
        if self.team_suspended {
            return Err(Refusal::Suspended);
        }
        let over = |end: Option<OffsetDateTime>| end.is_some_and(|end| now >= end);
        if over(self.expires_at) || over(secret.not_after) {
            return Err(Refusal::Expired);
        }
        if !self.api_access {
            return Err(Refusal::PlanRequired);
        }
        if !self.ip_allowed(request.source_ip) {
            return Err(Refusal::IpNotAllowed);
        }
        request.component.map(|component| self.grant_for(component, request.connection)).transpose()
    }

    fn ip_allowed(&self, source: Option<IpAddr>) -> bool {
        self.ip_allow_list.is_empty()
            || source.is_some_and(|ip| {
                let ip = ip.to_canonical();
                self.ip_allow_list.iter().any(|net| net.contains(&ip))
            })
    }

    fn grant_for(
        &self,
        component: &ComponentId,
        connection: Option<ConnectionId>,
    ) -> Result<&Grant, Refusal> {
        let held = self
            .grants
            .iter()
            .find(|held| held.grant.components().contains(component))
            .ok_or(Refusal::ComponentNotAllowed)?;
        let asked_matches = connection.is_none() || connection == held.grant.connection();
        if held.usable && asked_matches {
            Ok(&held.grant)
        } else {
            Err(Refusal::ConnectionNotAllowed)
        }
    }
}
