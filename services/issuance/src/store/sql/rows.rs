//! Stored rows ↔ plain values. Every way out of the database is fallible and names the column.

use std::time::Duration;

use ipnet::IpNet;
use keystile_domain::{
    AuditId, ConnectionId, Environment, Grant, Incarnation, IntegrationId, KeyId, OperationId,
    Role, Scope, SecretId, TeamId, UserId,
    facts::KeyStatus,
    log::{ChangeKind, History, LogRow, Nonce, Receipt},
    name::{Description, Name},
};
use keystile_sql::{self as sql, from_micros, micros};
use sea_orm::{ActiveValue::Set, QueryResult};
use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::{
        AuditRecord, Epoch, FollowerRecord, KeyRecord, Operation, Renewal, SecretRecord,
        TeamRecord, TeamStatus,
        entity::{audit, follower, grant, key, log, operation, secret, team},
        fold,
    },
    mark, seq,
};
use crate::Error;

pub(super) const CONNECTION: &str = "connection";
pub(super) const INTEGRATION: &str = "integration";
const KEY: &str = "key";
const TEAM: &str = "team";

/// A number of the log as it is stored.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A stored number that is never negative.
pub(super) fn unstored(number: i64, column: &'static str) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| corrupt(column))
}

const fn corrupt(column: &'static str) -> Error {
    Error::Store(sql::Error::Corrupt(column))
}

fn json<T: Serialize>(value: &T) -> String {
    // Maps with text keys only: this cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(text: &str, column: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| corrupt(column))
}

fn instant(stored: Option<i64>) -> Result<Option<OffsetDateTime>, Error> {
    Ok(stored.map(from_micros).transpose()?)
}

/// The history of a database on a timeline.
fn history(database_id: Uuid, timeline: i64) -> Result<History, Error> {
    let timeline = u32::try_from(timeline).map_err(|_| corrupt("timeline"))?;
    Ok(History { database: *database_id.as_bytes(), timeline })
}

pub(super) fn scope(value: Scope) -> (&'static str, Uuid) {
    match value {
        Scope::Key(id) => (KEY, id.as_uuid()),
        Scope::Team(id) => (TEAM, id.as_uuid()),
        Scope::Integration(id) => (INTEGRATION, id.as_uuid()),
        Scope::Connection(id) => (CONNECTION, id.as_uuid()),
    }
}

fn from_scope(kind: &str, id: Uuid) -> Result<Scope, Error> {
    match kind {
        KEY => Ok(Scope::Key(KeyId::from_uuid(id))),
        TEAM => Ok(Scope::Team(TeamId::from_uuid(id))),
        INTEGRATION => Ok(Scope::Integration(IntegrationId::from_uuid(id))),
        CONNECTION => Ok(Scope::Connection(ConnectionId::from_uuid(id))),
        _ => Err(corrupt("scope_kind")),
    }
}

fn change_kind(text: &str) -> Result<ChangeKind, Error> {
    ChangeKind::parse(text).ok_or(corrupt("kind"))
}

/// The head and where it is, as [`super::head`] selects them.
pub(super) fn epoch(row: &QueryResult) -> Result<Epoch, Error> {
    let settled: String = row.try_get("", "settled")?;
    Ok(Epoch {
        history: history(row.try_get("", "database_id")?, row.try_get("", "timeline")?)?,
        head: seq(row.try_get("", "head")?)?,
        nonce: Nonce(row.try_get::<Uuid>("", "head_nonce")?.into_bytes()),
        settled: settled.parse().map_err(|_| corrupt("settled"))?,
    })
}

pub(super) fn log_row(row: &log::Model) -> Result<LogRow, Error> {
    Ok(LogRow {
        seq: seq(row.seq)?,
        nonce: Nonce(row.nonce.into_bytes()),
        previous: Nonce(row.previous_nonce.into_bytes()),
        scope: from_scope(&row.scope_kind, row.scope_id)?,
        kind: change_kind(&row.kind)?,
        cut: row.cut,
        operation: OperationId::from_uuid(row.operation_id),
    })
}

pub(super) fn new_log_row(row: &LogRow, at: OffsetDateTime) -> log::ActiveModel {
    let (scope_kind, scope_id) = scope(row.scope);
    log::ActiveModel {
        seq: Set(stored(row.seq)),
        nonce: Set(mark(row.nonce)),
        previous_nonce: Set(mark(row.previous)),
        scope_kind: Set(scope_kind.to_owned()),
        scope_id: Set(scope_id),
        kind: Set(row.kind.as_str().to_owned()),
        cut: Set(row.cut),
        operation_id: Set(row.operation.as_uuid()),
        created_at: Set(micros(at)),
    }
}

fn role(stored: &str) -> Result<Role, Error> {
    Role::parse(stored).ok_or(corrupt("role"))
}

/// Reads the joined rows of a renewal: the head in each, a row of the log where there is one.
pub(super) fn renewal(found: &[QueryResult]) -> Result<Renewal, Error> {
    let first = found.first().ok_or(corrupt("epoch"))?;
    let head = epoch(first)?;
    let live = match first.try_get::<Option<bool>>("", "retiring")? {
        Some(false) => Some(role(&first.try_get::<String>("", "role")?)?),
        Some(true) | None => None,
    };
    let mut rows = Vec::with_capacity(found.len());
    for one in found {
        if one.try_get::<Option<i64>>("", "seq")?.is_some() {
            rows.push(log_row(&<log::Model as sea_orm::FromQueryResult>::from_query_result(
                one, "",
            )?)?);
        }
    }
    Ok(Renewal { epoch: head, live, rows })
}

pub(super) fn operation(row: &operation::Model) -> Result<Operation, Error> {
    Ok(Operation {
        team: TeamId::from_uuid(row.team_id),
        id: OperationId::from_uuid(row.id),
        seq: seq(row.seq)?,
        kind: change_kind(&row.kind)?,
        scope: from_scope(&row.scope_kind, row.scope_id)?,
        cut: row.cut,
        request: row.request.as_deref().map(digest).transpose()?,
    })
}

fn digest(stored: &[u8]) -> Result<[u8; 32], Error> {
    stored.try_into().map_err(|_| corrupt("request"))
}

pub(super) fn new_operation(made: &Operation) -> operation::ActiveModel {
    let (scope_kind, scope_id) = scope(made.scope);
    operation::ActiveModel {
        team_id: Set(made.team.as_uuid()),
        id: Set(made.id.as_uuid()),
        seq: Set(stored(made.seq)),
        kind: Set(made.kind.as_str().to_owned()),
        scope_kind: Set(scope_kind.to_owned()),
        scope_id: Set(scope_id),
        cut: Set(made.cut),
        request: Set(made.request.map(Vec::from)),
    }
}

pub(super) fn audit(row: audit::Model) -> Result<AuditRecord, Error> {
    let receipt = receipt(&row)?;
    Ok(AuditRecord {
        id: AuditId::from_uuid(row.id),
        seq: seq(row.seq)?,
        team: TeamId::from_uuid(row.team_id),
        at: from_micros(row.at)?,
        actor: row.actor,
        actor_label: row.actor_label,
        action: change_kind(&row.action)?,
        subject: row.subject_id,
        subject_label: row.subject_label,
        before: row.before,
        after: row.after,
        request_id: row.request_id,
        source_ip: match row.source_ip.as_str() {
            "" => None,
            ip => Some(ip.parse().map_err(|_| corrupt("source_ip"))?),
        },
        receipt,
    })
}

pub(super) fn receipt(row: &audit::Model) -> Result<Option<Receipt>, Error> {
    let (Some(acknowledged), Some(waited_out), Some(elapsed)) =
        (row.acknowledged, row.waited_out, row.elapsed_us)
    else {
        return Ok(None);
    };
    let count = |stored: i32| u32::try_from(stored).map_err(|_| corrupt("receipt"));
    Ok(Some(Receipt {
        seq: seq(row.seq)?,
        acknowledged: count(acknowledged)?,
        waited_out: count(waited_out)?,
        elapsed: Duration::from_micros(unstored(elapsed, "elapsed_us")?),
    }))
}

pub(super) fn new_audit(row: &AuditRecord) -> audit::ActiveModel {
    audit::ActiveModel {
        seq: Set(stored(row.seq)),
        id: Set(row.id.as_uuid()),
        team_id: Set(row.team.as_uuid()),
        at: Set(micros(row.at)),
        actor: Set(row.actor.clone()),
        actor_label: Set(row.actor_label.clone()),
        action: Set(row.action.as_str().to_owned()),
        subject_id: Set(row.subject.clone()),
        subject_label: Set(row.subject_label.clone()),
        before: Set(row.before.clone()),
        after: Set(row.after.clone()),
        request_id: Set(row.request_id.clone()),
        source_ip: Set(row.source_ip.map(|ip| ip.to_string()).unwrap_or_default()),
        // It is not known when the row is written.
        acknowledged: Set(None),
        waited_out: Set(None),
        elapsed_us: Set(None),
    }
}

pub(super) fn team(row: &team::Model) -> Result<TeamRecord, Error> {
    Ok(TeamRecord {
        id: TeamId::from_uuid(row.id),
        name: Name::new(&row.name).map_err(|_| corrupt("name"))?,
        status: TeamStatus::parse(&row.status).ok_or(corrupt("status"))?,
        plan: from_json(&row.plan, "plan")?,
        created_at: from_micros(row.created_at)?,
    })
}

pub(super) fn new_team(record: &TeamRecord) -> team::ActiveModel {
    team::ActiveModel {
        id: Set(record.id.as_uuid()),
        name: Set(record.name.to_string()),
        status: Set(record.status.as_str().to_owned()),
        plan: Set(json(&record.plan)),
        created_at: Set(micros(record.created_at)),
    }
}

pub(super) fn key<'r>(
    row: &key::Model,
    secrets: impl Iterator<Item = &'r secret::Model>,
    grants: impl Iterator<Item = &'r grant::Model>,
) -> Result<KeyRecord, Error> {
    let mut grants = grants.map(grant).collect::<Result<Vec<_>, _>>()?;
    // Here and not in the query: Postgres sorts text by its locale.
    grants.sort_by(|a, b| a.app().cmp(b.app()));
    Ok(KeyRecord {
        id: KeyId::from_uuid(row.id),
        team: TeamId::from_uuid(row.team_id),
        kid: row.kid.parse().map_err(|_| corrupt("kid"))?,
        name: Name::new(&row.name).map_err(|_| corrupt("name"))?,
        description: Description::new(&row.description).map_err(|_| corrupt("description"))?,
        environment: Environment::parse(&row.environment).ok_or(corrupt("environment"))?,
        status: KeyStatus::parse(&row.status).ok_or(corrupt("status"))?,
        deleted_at: instant(row.deleted_at)?,
        expires_at: instant(row.expires_at)?,
        ip_allow_list: from_json::<Vec<IpNet>>(&row.ip_allow_list, "ip_allow_list")?,
        limits: from_json(&row.limits, "limits")?,
        grants,
        secrets: secrets.map(secret).collect::<Result<_, _>>()?,
        created_at: from_micros(row.created_at)?,
        updated_at: from_micros(row.updated_at)?,
        created_by: row.created_by.map(UserId::from_uuid),
        version: row.version,
    })
}

pub(super) fn new_key(record: &KeyRecord) -> key::ActiveModel {
    key::ActiveModel {
        id: Set(record.id.as_uuid()),
        team_id: Set(record.team.as_uuid()),
        kid: Set(record.kid.to_string()),
        name: Set(record.name.to_string()),
        name_folded: Set(fold(record.name.as_str())),
        description: Set(record.description.as_str().to_owned()),
        environment: Set(record.environment.as_str().to_owned()),
        status: Set(record.status.as_str().to_owned()),
        deleted_at: Set(record.deleted_at.map(micros)),
        expires_at: Set(record.expires_at.map(micros)),
        ip_allow_list: Set(json(&record.ip_allow_list)),
        limits: Set(json(&record.limits)),
        created_at: Set(micros(record.created_at)),
        updated_at: Set(micros(record.updated_at)),
        created_by: Set(record.created_by.map(UserId::as_uuid)),
        version: Set(record.version),
    }
}

fn secret(row: &secret::Model) -> Result<SecretRecord, Error> {
    Ok(SecretRecord {
        id: SecretId::from_uuid(row.id),
        phc: row.phc.clone(),
        token_key_version: u8::try_from(row.token_key_version)
            .map_err(|_| corrupt("token_key_version"))?,
        not_after: instant(row.not_after)?,
        created_at: from_micros(row.created_at)?,
    })
}

pub(super) fn new_secret(key: KeyId, record: &SecretRecord) -> secret::ActiveModel {
    secret::ActiveModel {
        id: Set(record.id.as_uuid()),
        key_id: Set(key.as_uuid()),
        phc: Set(record.phc.clone()),
        token_key_version: Set(i16::from(record.token_key_version)),
        not_after: Set(record.not_after.map(micros)),
        created_at: Set(micros(record.created_at)),
    }
}

fn grant(row: &grant::Model) -> Result<Grant, Error> {
    Grant::new(
        row.app_key.parse().map_err(|_| corrupt("app_key"))?,
        row.connection_id.map(ConnectionId::from_uuid),
        row.integration_id.map(IntegrationId::from_uuid),
        from_json(&row.components, "components")?,
    )
    .map_err(|_| corrupt("components"))
}

pub(super) fn new_grant(key: KeyId, record: &Grant) -> grant::ActiveModel {
    grant::ActiveModel {
        key_id: Set(key.as_uuid()),
        app_key: Set(record.app().to_string()),
        connection_id: Set(record.connection().map(ConnectionId::as_uuid)),
        integration_id: Set(record.integration().map(IntegrationId::as_uuid)),
        components: Set(json(record.components())),
    }
}

pub(super) fn follower(row: &follower::Model) -> Result<FollowerRecord, Error> {
    Ok(FollowerRecord {
        incarnation: Incarnation::from_uuid(row.incarnation),
        role: role(&row.role)?,
        since: seq(row.since)?,
        lease_ttl: Duration::from_millis(unstored(row.lease_ttl_ms, "lease_ttl_ms")?),
        answered_at: from_micros(row.answered_at)?,
        retiring: row.retiring,
        local: row.local,
    })
}

pub(super) fn new_follower(record: &FollowerRecord) -> follower::ActiveModel {
    follower::ActiveModel {
        incarnation: Set(record.incarnation.as_uuid()),
        role: Set(record.role.as_str().to_owned()),
        since: Set(stored(record.since)),
        lease_ttl_ms: Set(i64::try_from(record.lease_ttl.as_millis()).unwrap_or(i64::MAX)),
        answered_at: Set(micros(record.answered_at)),
        retiring: Set(record.retiring),
        local: Set(record.local),
    }
}
