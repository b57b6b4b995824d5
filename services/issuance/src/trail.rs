//! The trail: what a change looked like before and after, and reading it back.

use keystile_contract::Failure;
use keystile_domain::{Actor, Permission};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Error, Service, page_size,
    store::{AuditQuery, AuditRecord, KeyRecord, TeamRecord},
};

/// A key as the trail shows it. Of its secrets, only which there are.
pub(crate) fn view(key: &KeyRecord) -> Value {
    let grants = key.grants.iter().map(|grant| {
        json!({
            "appKey": grant.app(),
            "connectionId": grant.connection(),
            "integrationId": grant.integration(),
            "allowedComponents": grant.components(),
        })
    });
    let secrets = key.secrets.iter().map(|secret| {
        json!({
            "id": secret.id,
            "tokenKeyVersion": secret.token_key_version,
            "notAfter": instant(secret.not_after),
        })
    });
    json!({
        "name": key.name,
        "description": key.description,
        "environment": key.environment,
        "status": key.status.as_str(),
        "deletedAt": instant(key.deleted_at),
        "expiresAt": instant(key.expires_at),
        "ipAllowList": key.ip_allow_list,
        "limits": key.limits,
        "grants": grants.collect::<Vec<_>>(),
        "secrets": secrets.collect::<Vec<_>>(),
    })
}

/// A team as the trail shows it.
pub(crate) fn team_view(team: &TeamRecord) -> Value {
    json!({ "name": team.name, "status": team.status.as_str(), "plan": team.plan })
}

/// What differs between two states of a key.
pub(crate) fn difference(before: &KeyRecord, after: &KeyRecord) -> (Value, Value) {
    differing(view(before), view(after))
}

/// What differs between two states of a team.
pub(crate) fn team_difference(before: &TeamRecord, after: &TeamRecord) -> (Value, Value) {
    differing(team_view(before), team_view(after))
}

fn differing(before: Value, after: Value) -> (Value, Value) {
    let (Value::Object(before), Value::Object(after)) = (&before, &after) else {
        return (before, after);
    };
    let part = |of: &Map<String, Value>, other: &Map<String, Value>| {
        let members = of.iter().filter(|(name, value)| other.get(*name) != Some(*value));
        Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    (part(before, after), part(after, before))
}

fn instant(at: Option<OffsetDateTime>) -> Option<String> {
    at.and_then(|at| at.format(&Rfc3339).ok())
}

/// A page of the trail.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditRecord>,
    /// Empty on the last page.
    pub next_page_token: String,
}

impl Service {
    /// A page of the actor's team's trail, newest first.
    ///
    /// # Errors
    /// [`Error::Denied`] without `audit_export`; a refusal that names the field at fault.
    #[tracing::instrument(name = "issuance.list_audit", skip_all)]
    pub async fn list_audit(
        &self,
        actor: &Actor,
        size: u32,
        page_token: &str,
        subject: &str,
    ) -> Result<AuditPage, Error> {
        let team = actor.require(Permission::AuditExport)?;
        let limit = page_size(size)?;
        let before = match page_token {
            "" => None,
            token => Some(
                token
                    .parse()
                    .map_err(|_| Failure::invalid("page_token", "is not a token of this list"))?,
            ),
        };
        if subject.chars().count() > 100 || subject.chars().any(char::is_control) {
            return Err(Failure::invalid("subject_id", "is not an id").into());
        }
        let subject = (!subject.is_empty()).then(|| subject.to_owned());
        let query = AuditQuery { team, limit: limit + 1, before, subject };
        let mut entries = self.store.list_audit(&query).await?;
        let more = entries.len() as u64 > limit;
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = entries.last().filter(|_| more);
        let next_page_token = last.map(|last| last.seq.to_string()).unwrap_or_default();
        Ok(AuditPage { entries, next_page_token })
    }
}
