//! Rows of the console's own audit trail.

use keystile_domain::{Actor, AuditId, TeamId, permission::Principal};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{Service, store::Audit};

/// A change, as the trail tells it.
pub(crate) struct Entry<'e> {
    pub(crate) team: TeamId,
    /// For example "token.created".
    pub(crate) action: &'static str,
    /// A prefixed id.
    pub(crate) subject_id: String,
    /// What it is called now.
    pub(crate) subject_label: &'e str,
    /// `null` if nothing was there. Never a secret.
    pub(crate) before: Value,
    /// `null` if nothing is left. Never a secret.
    pub(crate) after: Value,
}

impl Service {
    /// The row that says that `actor` made this change at `at`.
    pub(crate) fn audit_row(&self, at: OffsetDateTime, actor: &Actor, entry: Entry<'_>) -> Audit {
        let json = |value: Value| if value.is_null() { String::new() } else { value.to_string() };
        Audit {
            id: AuditId::generate(at, self.entropy()),
            at,
            team: entry.team,
            actor: match actor.principal {
                Principal::User(user) => user.to_string(),
                Principal::Token(token, _) => token.to_string(),
                Principal::Operator => "operator".to_owned(),
            },
            actor_label: actor.label.clone(),
            action: entry.action.to_owned(),
            subject_id: entry.subject_id,
            subject_label: entry.subject_label.to_owned(),
            before: json(entry.before),
            after: json(entry.after),
            request_id: actor.request_id.clone(),
            source_ip: actor.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        }
    }
}
