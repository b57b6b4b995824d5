//! The trail: who changed what, written in the transaction of the change. Never a secret.

use keystile_domain::{Actor, AuditId, Entropy, OperationId, TeamId, permission::Principal};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::connection::Connection;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id.
    pub(crate) id: AuditId,
    /// When.
    pub(crate) at: OffsetDateTime,
    /// Whose data.
    pub(crate) team: TeamId,
    /// `user_…`, `mtok_…` or `operator`.
    pub(crate) actor: String,
    /// The actor, as shown.
    pub(crate) actor_label: String,
    /// What, for example `connection.created`.
    pub(crate) action: &'static str,
    /// On what.
    pub(crate) subject: String,
    /// What the subject was called then.
    pub(crate) subject_label: String,
    /// JSON of what changed, before.
    pub(crate) before: String,
    /// JSON of what changed, after.
    pub(crate) after: String,
    /// The request.
    pub(crate) request_id: String,
    /// Where the request came from; empty if unknown.
    pub(crate) source_ip: String,
    /// The operation that carries the change to issuance, if one does.
    pub(crate) operation: Option<OperationId>,
}

/// What happens to a connection.
pub(crate) const CREATED: &str = "connection.created";
/// See [`CREATED`].
pub(crate) const TESTED: &str = "connection.tested";
/// See [`CREATED`].
pub(crate) const DELETED: &str = "connection.deleted";

/// Every action that the trail of vault knows.
pub(crate) const ACTIONS: [&str; 3] = [CREATED, TESTED, DELETED];

/// Who changes something, and when: what the entries of one request share.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    id: AuditId,
    at: OffsetDateTime,
    actor: Actor,
}

impl Author {
    /// `actor`, now.
    pub(crate) fn new(actor: &Actor, now: OffsetDateTime, entropy: &dyn Entropy) -> Self {
        Self { id: AuditId::generate(now, entropy), at: now, actor: actor.clone() }
    }

    /// The entry for a change of one connection. Whatever is absent before or after is `null`.
    #[must_use]
    pub(crate) fn entry(
        &self,
        action: &'static str,
        subject: &Connection,
        before: Option<&Connection>,
        after: Option<&Connection>,
    ) -> Entry {
        let principal = match self.actor.principal {
            Principal::User(user) => user.to_string(),
            Principal::Token(token, _) => token.to_string(),
            Principal::Operator => "operator".to_owned(),
        };
        Entry {
            id: self.id,
            at: self.at,
            team: subject.team,
            actor: principal,
            actor_label: self.actor.label.clone(),
            action,
            subject: subject.id.to_string(),
            subject_label: subject.name.to_string(),
            before: facts(before),
            after: facts(after),
            request_id: self.actor.request_id.clone(),
            source_ip: self.actor.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            operation: None,
        }
    }
}

fn facts(connection: Option<&Connection>) -> String {
    let facts = connection.map_or(Value::Null, |connection| {
        json!({
            "appKey": connection.app,
            "name": connection.name,
            "authScheme": connection.scheme.as_str(),
            "status": connection.health.status.as_str(),
            "statusReason": connection.health.reason,
        })
    });
    facts.to_string()
}
