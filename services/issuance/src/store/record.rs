//! The rows, as plain values.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use keystile_domain::{
    AuditId, Environment, Grant, Incarnation, KeyId, OperationId, Position, Role, Scope, SecretId,
    TeamId, UserId,
    facts::{GrantFacts, KeyFacts, KeyStatus, SecretFacts},
    limits::Limits,
    log::{ChangeKind, History, Nonce, Receipt},
    name::{Description, Name},
    plan::Plan,
    token::Kid,
};
use time::OffsetDateTime;

/// The head of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// The history that the database is in.
    pub history: History,
    /// The last row's number; 0 before the first.
    pub head: u64,
    /// The last row's mark. Sequence 0 has one.
    pub nonce: Nonce,
    /// The last history that was stored as settled.
    pub settled: History,
}

impl Epoch {
    /// The head as a position.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { history: self.history, seq: self.head }
    }
}

/// The state of a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamStatus {
    /// At work.
    Active,
    /// Stopped by the operator.
    Suspended,
}

impl TeamStatus {
    /// The text in databases and the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == text)
    }
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRecord {
    /// Its id.
    pub id: TeamId,
    /// What people call it.
    pub name: Name,
    /// Its state.
    pub status: TeamStatus,
    /// What it is entitled to.
    pub plan: Plan,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// A secret of a key, as it is at rest.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// Its id.
    pub id: SecretId,
    /// The Argon2id PHC string of the whole token.
    pub phc: String,
    /// The token key that minted it.
    pub token_key_version: u8,
    /// The end of its overlap; `None` for the current one.
    pub not_after: Option<OffsetDateTime>,
    /// When it was minted.
    pub created_at: OffsetDateTime,
}

impl std::fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key, with its secrets and grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Its team.
    pub team: TeamId,
    /// Its public id.
    pub kid: Kid,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    pub description: Description,
    /// Where it is used.
    pub environment: Environment,
    /// Its state.
    pub status: KeyStatus,
    /// Since when it is gone from lists.
    pub deleted_at: Option<OffsetDateTime>,
    /// When it stops by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// Where it may be used from; empty is anywhere.
    pub ip_allow_list: Vec<IpNet>,
    /// How much it may be used.
    pub limits: Limits,
    /// What it may do, one grant an app, in order of app.
    pub grants: Vec<Grant>,
    /// What proves it, oldest first.
    pub secrets: Vec<SecretRecord>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// Counts its changes.
    pub version: i64,
}

impl KeyRecord {
    /// What the trail calls it: its name and public key.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.kid.public_key(self.environment))
    }

    /// What a verdict depends on. `usable` says which grants have an account in a usable state.
    #[must_use]
    pub fn facts(&self, team: &TeamRecord, usable: impl Fn(&Grant) -> bool) -> KeyFacts {
        let grants = self.grants.iter();
        let secrets = self.secrets.iter().map(|secret| SecretFacts {
            id: secret.id,
            phc: secret.phc.as_str().into(),
            token_key_version: secret.token_key_version,
            not_after: secret.not_after,
        });
        KeyFacts {
            key: self.id,
            team: self.team,
            kid: self.kid,
            name: self.name.as_str().into(),
            environment: self.environment,
            status: self.status,
            team_suspended: team.status == TeamStatus::Suspended,
            api_access: team.plan.api_access,
            expires_at: self.expires_at,
            ip_allow_list: self.ip_allow_list.as_slice().into(),
            limits: self.limits,
            secrets: secrets.collect(),
            grants: grants
                .map(|grant| GrantFacts { grant: grant.clone(), usable: usable(grant) })
                .collect(),
        }
    }
}

/// A name as filters and sorting see it: each character in lower case, whatever stands beside it.
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A change, under the id its caller gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The team that it belongs to.
    pub team: TeamId,
    /// Its id, unique in the team.
    pub id: OperationId,
    /// Its row in the log.
    pub seq: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// To what.
    pub scope: Scope,
    /// Does it take access away?
    pub cut: bool,
    /// SHA-256 of the request that asked for it, where one did.
    pub request: Option<[u8; 32]>,
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its id.
    pub id: AuditId,
    /// The change's row in the log.
    pub seq: u64,
    /// The team.
    pub team: TeamId,
    /// When.
    pub at: OffsetDateTime,
    /// Who: `user_…`, `mtok_…`, "operator" or a role.
    pub actor: String,
    /// Who, as shown.
    pub actor_label: String,
    /// What.
    pub action: ChangeKind,
    /// On what: a prefixed id.
    pub subject: String,
    /// What the subject was called then.
    pub subject_label: String,
    /// JSON of what changed, before.
    pub before: String,
    /// JSON of what changed, after.
    pub after: String,
    /// The request.
    pub request_id: String,
    /// Where from.
    pub source_ip: Option<IpAddr>,
    /// Of a cut that returned: what it waited for. Its elapsed time is in whole microseconds.
    pub receipt: Option<Receipt>,
}

/// What vault said of a connection or integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeStatus {
    /// The team that owns it.
    pub team: TeamId,
    /// A connection or an integration.
    pub scope: Scope,
    /// Can it be used?
    pub usable: bool,
}

/// A registered follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerRecord {
    /// One run of a process.
    pub incarnation: Incarnation,
    /// What it is.
    pub role: Role,
    /// The head when it registered: later changes wait for it.
    pub since: u64,
    /// L: how long each of its leases lasts, as it was told. Whoever waits for it counts this one.
    pub lease_ttl: Duration,
    /// When it was last answered.
    pub answered_at: OffsetDateTime,
    /// Is it on its way out? Then it cannot renew, and cuts still count it.
    pub retiring: bool,
    /// Was it a task of the process that registered it, and died with that?
    pub local: bool,
}
