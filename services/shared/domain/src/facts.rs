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

    /// Decides for a role that acts on the key's behalf with no caller behind it, so that there is
    /// neither a secret nor a source address to check.
    #[must_use]
    pub fn decide_unattended(&self, request: &Request<'_>, now: OffsetDateTime) -> Verdict<'_> {
        let checked = self.check_key(None, now).and_then(|()| self.check_grant(request));
        match checked {
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
        self.check_key(secret.not_after, now)?;
        if !self.ip_allowed(request.source_ip) {
            return Err(Refusal::IpNotAllowed);
        }
        self.check_grant(request)
    }

    fn check_key(
        &self,
        secret_not_after: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        match self.status {
            KeyStatus::Active => {}
            KeyStatus::Disabled => return Err(Refusal::Disabled),
            KeyStatus::Revoked => return Err(Refusal::Revoked),
        }
        if self.team_suspended {
            return Err(Refusal::Suspended);
        }
        let over = |end: Option<OffsetDateTime>| end.is_some_and(|end| now >= end);
        if over(self.expires_at) || over(secret_not_after) {
            return Err(Refusal::Expired);
        }
        if self.api_access { Ok(()) } else { Err(Refusal::PlanRequired) }
    }

    fn check_grant(&self, request: &Request<'_>) -> Result<Option<&Grant>, Refusal> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::{Duration, macros::datetime};
    use uuid::Uuid;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn secret(number: u128, not_after: Option<OffsetDateTime>) -> SecretFacts {
        let id = SecretId::from_uuid(Uuid::from_u128(number));
        SecretFacts { id, phc: "phc".into(), token_key_version: 1, not_after }
    }

    fn current() -> SecretId {
        SecretId::from_uuid(Uuid::from_u128(1))
    }

    fn connection(number: u128) -> ConnectionId {
        ConnectionId::from_uuid(Uuid::from_u128(number))
    }

    fn component(text: &str) -> ComponentId {
        text.parse().expect("a component id")
    }

    fn facts() -> KeyFacts {
        let components = BTreeSet::from([component("action.gmail.send-email")]);
        let app = "gmail".parse().expect("an app key");
        let grant = Grant::new(app, Some(connection(7)), None, components).expect("a grant");
        KeyFacts {
            key: KeyId::from_uuid(Uuid::from_u128(1)),
            team: TeamId::from_uuid(Uuid::from_u128(1)),
            kid: "0123456789abcdef".parse().expect("a kid"),
            name: "main".into(),
            environment: Environment::Prod,
            status: KeyStatus::Active,
            team_suspended: false,
            api_access: true,
            expires_at: None,
            ip_allow_list: Box::default(),
            limits: Limits::default(),
            secrets: Box::new([secret(1, None), secret(2, Some(NOW + Duration::HOUR))]),
            grants: Box::new([GrantFacts { grant, usable: true }]),
        }
    }

    fn refusal(
        facts: &KeyFacts,
        secret: SecretId,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Option<Refusal> {
        match facts.decide(secret, request, now) {
            Verdict::Allow { .. } => None,
            Verdict::Refuse(refusal) => Some(refusal),
        }
    }

    #[test]
    fn each_fact_refuses_with_its_own_reason() {
        type Change = fn(&mut KeyFacts);
        let cases: [(Change, Option<Refusal>); 8] = [
            (|_| {}, None),
            (|facts| facts.status = KeyStatus::Revoked, Some(Refusal::Revoked)),
            (|facts| facts.status = KeyStatus::Disabled, Some(Refusal::Disabled)),
            (|facts| facts.team_suspended = true, Some(Refusal::Suspended)),
            (|facts| facts.expires_at = Some(NOW), Some(Refusal::Expired)),
            (|facts| facts.api_access = false, Some(Refusal::PlanRequired)),
            (|facts| facts.grants[0].usable = false, Some(Refusal::ConnectionNotAllowed)),
            (|facts| facts.grants = Box::default(), Some(Refusal::ComponentNotAllowed)),
        ];
        let send = component("action.gmail.send-email");
        let request = Request { component: Some(&send), ..Request::default() };
        for (change, expected) in cases {
            let mut facts = facts();
            change(&mut facts);
            assert_eq!(refusal(&facts, current(), &request, NOW), expected);
        }
    }

    #[test]
    fn an_expiry_takes_effect_at_its_instant_and_not_before() {
        let end = NOW + Duration::HOUR;
        let old = SecretId::from_uuid(Uuid::from_u128(2));
        let before = end - Duration::NANOSECOND;
        assert_eq!(refusal(&facts(), old, &Request::default(), before), None);
        assert_eq!(refusal(&facts(), old, &Request::default(), end), Some(Refusal::Expired));
        let mut facts = facts();
        facts.expires_at = Some(end);
        assert_eq!(refusal(&facts, current(), &Request::default(), before), None);
        assert_eq!(refusal(&facts, current(), &Request::default(), end), Some(Refusal::Expired));
    }

    #[test]
    fn a_secret_that_the_key_no_longer_has_is_invalid() {
        let gone = SecretId::from_uuid(Uuid::from_u128(3));
        assert_eq!(refusal(&facts(), gone, &Request::default(), NOW), Some(Refusal::Invalid));
    }

    #[test]
    fn an_ip_list_admits_only_known_addresses_inside_it_mapped_ones_included() {
        let mut facts = facts();
        facts.ip_allow_list = Box::new(["192.0.2.0/24".parse().expect("a block")]);
        for (source, expected) in [
            (Some("192.0.2.255"), None),
            (Some("::ffff:192.0.2.1"), None),
            (Some("192.0.3.0"), Some(Refusal::IpNotAllowed)),
            (Some("2001:db8::1"), Some(Refusal::IpNotAllowed)),
            (None, Some(Refusal::IpNotAllowed)),
        ] {
            let source_ip = source.map(|ip| ip.parse().expect("an address"));
            let request = Request { source_ip, ..Request::default() };
            assert_eq!(refusal(&facts, current(), &request, NOW), expected, "{source:?}");
        }
    }

    #[test]
    fn another_connection_than_the_grant_s_is_refused() {
        let send = component("action.gmail.send-email");
        for (asked, expected) in [
            (None, None),
            (Some(connection(7)), None),
            (Some(connection(8)), Some(Refusal::ConnectionNotAllowed)),
        ] {
            let request =
                Request { component: Some(&send), connection: asked, ..Request::default() };
            assert_eq!(refusal(&facts(), current(), &request, NOW), expected);
        }
    }
}
