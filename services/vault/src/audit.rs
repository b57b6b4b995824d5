//! The trail: who changed what, written in the transaction of the change. Never a secret.

use keystile_domain::{
    Actor, AuditId, ComponentId, Entropy, OperationId, TeamId, permission::Principal,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{apps::OwnApp, connection::Connection, integration::Integration};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id.
    pub(crate) id: AuditId,
    /// When.
    pub(crate) at: OffsetDateTime,
    /// Whose data.
    pub(crate) team: TeamId,
    /// `user_…`, `mtok_…`, `operator`, or `vault` itself.
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

/// What happens to connections and integrations.
pub(crate) const CREATED: &str = "connection.created";
/// See [`CREATED`].
pub(crate) const RECONNECTED: &str = "connection.reconnected";
/// See [`CREATED`].
pub(crate) const TESTED: &str = "connection.tested";
/// See [`CREATED`].
pub(crate) const STATUS_CHANGED: &str = "connection.status_changed";
/// See [`CREATED`].
pub(crate) const DELETED: &str = "connection.deleted";
/// See [`CREATED`].
pub(crate) const INTEGRATION_CREATED: &str = "integration.created";
/// See [`CREATED`].
pub(crate) const INTEGRATION_UPDATED: &str = "integration.updated";
/// See [`CREATED`].
pub(crate) const INTEGRATION_CHECKED: &str = "integration.checked";
/// See [`CREATED`].
pub(crate) const INTEGRATION_DISABLED: &str = "integration.disabled";
/// See [`CREATED`].
pub(crate) const INTEGRATION_ENABLED: &str = "integration.enabled";
/// See [`CREATED`].
pub(crate) const INTEGRATION_DELETED: &str = "integration.deleted";

/// See [`CREATED`].
pub(crate) const APP_ADDED: &str = "app.added";
/// See [`CREATED`].
pub(crate) const APP_REMOVED: &str = "app.removed";

/// Every action that the trail of vault knows.
pub(crate) const ACTIONS: [&str; 13] = [
    CREATED,
    RECONNECTED,
    TESTED,
    STATUS_CHANGED,
    DELETED,
    INTEGRATION_CREATED,
    INTEGRATION_UPDATED,
    INTEGRATION_CHECKED,
    INTEGRATION_DISABLED,
    INTEGRATION_ENABLED,
    INTEGRATION_DELETED,
    APP_ADDED,
    APP_REMOVED,
];

/// Who changes something, and when: what the entries of one request share.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    id: AuditId,
    at: OffsetDateTime,
    who: Who,
}

/// Who changes something, as the trail shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// `user_…`, `mtok_…`, `operator` or `vault`.
    pub(crate) actor: String,
    /// As people know them.
    pub(crate) label: String,
    /// The request.
    pub(crate) request_id: String,
    /// Where it came from; empty if unknown.
    pub(crate) source_ip: String,
}

impl Who {
    /// Whom the console vouches for.
    pub(crate) fn of(actor: &Actor) -> Self {
        Self {
            actor: match actor.principal {
                Principal::User(user) => user.to_string(),
                Principal::Token(token, _) => token.to_string(),
                Principal::Operator => "operator".to_owned(),
            },
            label: actor.label.clone(),
            request_id: actor.request_id.clone(),
            source_ip: actor.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        }
    }

    /// Vault itself: what a provider answered changed something.
    pub(crate) fn vault() -> Self {
        Self {
            actor: "vault".to_owned(),
            label: "vault".to_owned(),
            request_id: String::new(),
            source_ip: String::new(),
        }
    }
}

impl Author {
    /// `who`, now.
    pub(crate) fn new(who: Who, now: OffsetDateTime, entropy: &dyn Entropy) -> Self {
        Self { id: AuditId::generate(now, entropy), at: now, who }
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
        let facts = |connection: Option<&Connection>| connection.map_or(Value::Null, of_connection);
        let subject = (subject.team, subject.id.to_string(), subject.name.to_string());
        self.about(action, subject, &facts(before), &facts(after))
    }

    /// The same for an integration.
    #[must_use]
    pub(crate) fn integration(
        &self,
        action: &'static str,
        subject: &Integration,
        before: Option<&Integration>,
        after: Option<&Integration>,
    ) -> Entry {
        let facts = |one: Option<&Integration>| one.map_or(Value::Null, of_integration);
        let subject = (subject.team, subject.id.to_string(), subject.name.to_string());
        self.about(action, subject, &facts(before), &facts(after))
    }

    /// The same for a version of an app.
    #[must_use]
    pub(crate) fn app(
        &self,
        action: &'static str,
        own: &OwnApp,
        added: &[ComponentId],
        removed: &[ComponentId],
    ) -> Entry {
        let subject = (own.team, own.key.to_string(), own.key.to_string());
        let after = json!({ "version": own.version, "added": added, "removed": removed });
        self.about(action, subject, &Value::Null, &after)
    }

    fn about(
        &self,
        action: &'static str,
        (team, subject, subject_label): (TeamId, String, String),
        before: &Value,
        after: &Value,
    ) -> Entry {
        let who = self.who.clone();
        Entry {
            id: self.id,
            at: self.at,
            team,
            actor: who.actor,
            actor_label: who.label,
            action,
            subject,
            subject_label,
            before: before.to_string(),
            after: after.to_string(),
            request_id: who.request_id,
            source_ip: who.source_ip,
            operation: None,
        }
    }
}

fn of_connection(connection: &Connection) -> Value {
    let issued = connection.issued.as_ref();
    json!({
        "appKey": connection.app,
        "name": connection.name,
        "authScheme": connection.scheme.as_str(),
        "status": connection.health.status.as_str(),
        "statusReason": connection.health.reason,
        "integrationId": issued.map(|issued| issued.integration),
        "scopes": issued.map(|issued| &issued.scopes),
    })
}

fn of_integration(integration: &Integration) -> Value {
    json!({
        "appKey": integration.app,
        "name": integration.name,
        "grantType": integration.grant_type.as_str(),
        "clientId": integration.client_id,
        "hasClientSecret": integration.has_secret,
        "scopes": integration.scopes,
        "returnUrls": integration.return_urls,
        "status": integration.status.as_str(),
    })
}
