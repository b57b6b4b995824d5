//! Rows ↔ records. What cannot be read back is corrupt, and named.

use std::time::Duration;

use keystile_domain::{
    AuditId, ConnectionId, IntegrationId, KeyId, OperationId, Scope, TeamId, log::Receipt,
    name::Name,
};
use keystile_seal::{DataKeyId, DataKeyRecord};
use keystile_sql::{Error, from_micros, micros};
use sea_orm::{NotSet, Set};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit::{ACTIONS, Entry, Who},
    connect::{Flow, FlowId},
    connection::{Connection, Health, Issued, Scheme, Status},
    integration::{self as integrations, GrantType, Integration},
    store::{
        OutboxRow, SealedCredential, Settled,
        entity::{audit, connection, data_key, flow, integration, key_reader, outbox, wrapping},
        keys::{Reader, Wrapping},
    },
};

use super::refresh::IDLE;

/// A count as the databases' one integer type.
pub(super) fn stored<T: TryInto<i64>>(value: T, what: &'static str) -> Result<i64, Error> {
    value.try_into().map_err(|_| Error::Corrupt(what))
}

pub(super) fn read<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, Error> {
    value.try_into().map_err(|_| Error::Corrupt(what))
}

pub(super) fn new_data_key(
    record: &DataKeyRecord,
    created_at: OffsetDateTime,
) -> Result<data_key::ActiveModel, Error> {
    Ok(data_key::ActiveModel {
        id: Set(record.id.as_uuid()),
        team_id: Set(record.team.as_uuid()),
        kek_version: Set(record.kek_version.into()),
        wrapped: Set(record.wrapped.clone()),
        uses: Set(stored(record.uses, "use count")?),
        created_at: Set(micros(created_at)),
        retired_at: Set(None),
    })
}

pub(super) fn data_key(row: data_key::Model) -> Result<DataKeyRecord, Error> {
    Ok(DataKeyRecord {
        id: DataKeyId::from_uuid(row.id),
        team: TeamId::from_uuid(row.team_id),
        kek_version: read(row.kek_version, "key-encryption key version")?,
        wrapped: row.wrapped,
        uses: read(row.uses, "use count")?,
    })
}

pub(super) fn data_key_count((version, count): (i64, i64)) -> Result<(u32, u64), Error> {
    Ok((read(version, "key-encryption key version")?, read(count, "count")?))
}

pub(super) fn wrapping(row: &wrapping::Model) -> Result<Wrapping, Error> {
    Ok(Wrapping {
        version: read(row.version, "key-encryption key version")?,
        announced: read(row.announced, "key-encryption key version")?,
    })
}

pub(super) fn reader(row: &key_reader::Model) -> Result<Reader, Error> {
    Ok(Reader {
        id: row.id,
        newest: read(row.newest, "key-encryption key version")?,
        seen_at: from_micros(row.seen_at)?,
    })
}

pub(super) fn new_connection(
    connection: &Connection,
    credential: &SealedCredential,
) -> Result<connection::ActiveModel, Error> {
    let row = connection::ActiveModel {
        id: Set(connection.id.as_uuid()),
        team_id: Set(connection.team.as_uuid()),
        app_key: Set(connection.app.to_string()),
        name: Set(connection.name.to_string()),
        status: Set(connection.health.status.as_str().to_owned()),
        status_reason: Set(connection.health.reason.clone()),
        scheme: Set(connection.scheme.as_str().to_owned()),
        created_at: Set(micros(connection.created_at)),
        last_used_at: Set(connection.last_used_at.map(micros)),
        deleted_at: Set(None),
        deletion: Set(None),
        credential: Set(Some(credential.bytes.clone())),
        credential_version: Set(stored(credential.version, "credential version")?),
        integration_id: Set(None),
        scopes: Set(None),
        expires_at: Set(None),
        refresh_at: Set(None),
        refresh_fence: Set(0),
        refresh_state: Set(IDLE.to_owned()),
        refresh_until: Set(None),
    };
    match &connection.issued {
        Some(issued_to) => issued(issued_to, row),
        None => Ok(row),
    }
}

/// `row` with what a provider issued.
pub(super) fn issued(
    issued: &Issued,
    row: connection::ActiveModel,
) -> Result<connection::ActiveModel, Error> {
    Ok(connection::ActiveModel {
        integration_id: Set(Some(issued.integration.as_uuid())),
        scopes: Set(Some(texts(&issued.scopes)?)),
        expires_at: Set(issued.expires_at.map(micros)),
        refresh_at: Set(issued.refresh_at.map(micros)),
        ..row
    })
}

/// Texts as a JSON array.
fn texts(texts: &[String]) -> Result<String, Error> {
    serde_json::to_string(texts).map_err(|_| Error::Corrupt("a list of texts"))
}

fn read_json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt(what))
}

pub(super) fn connection(row: connection::Model) -> Result<Connection, Error> {
    Ok(Connection {
        id: ConnectionId::from_uuid(row.id),
        team: TeamId::from_uuid(row.team_id),
        app: row.app_key.parse().map_err(|_| Error::Corrupt("app key"))?,
        name: Name::new(&row.name).map_err(|_| Error::Corrupt("name"))?,
        health: Health {
            status: Status::parse(&row.status).ok_or(Error::Corrupt("status"))?,
            reason: row.status_reason,
        },
        scheme: Scheme::parse(&row.scheme).ok_or(Error::Corrupt("scheme"))?,
        created_at: from_micros(row.created_at)?,
        last_used_at: row.last_used_at.map(from_micros).transpose()?,
        issued: match row.integration_id {
            Some(id) => Some(Issued {
                integration: IntegrationId::from_uuid(id),
                scopes: read_json(row.scopes.as_deref().unwrap_or("[]"), "scopes")?,
                expires_at: row.expires_at.map(from_micros).transpose()?,
                refresh_at: row.refresh_at.map(from_micros).transpose()?,
            }),
            None => None,
        },
    })
}

pub(super) fn new_integration(
    integration: &Integration,
    client: &SealedCredential,
) -> Result<integration::ActiveModel, Error> {
    Ok(integration::ActiveModel {
        id: Set(integration.id.as_uuid()),
        team_id: Set(integration.team.as_uuid()),
        app_key: Set(integration.app.to_string()),
        name: Set(integration.name.to_string()),
        grant_type: Set(integration.grant_type.as_str().to_owned()),
        client_id: Set(integration.client_id.clone()),
        has_secret: Set(integration.has_secret),
        scopes: Set(texts(&integration.scopes)?),
        return_urls: Set(texts(&integration.return_urls)?),
        status: Set(integration.status.as_str().to_owned()),
        status_reason: Set(integration.status_reason.clone()),
        created_at: Set(micros(integration.created_at)),
        version: Set(stored(integration.version, "version")?),
        client: Set(Some(client.bytes.clone())),
        client_version: Set(stored(client.version, "client version")?),
        switched_by: Set(None),
        deleted_at: Set(None),
    })
}

pub(super) fn integration(row: integration::Model) -> Result<Integration, Error> {
    Ok(Integration {
        id: IntegrationId::from_uuid(row.id),
        team: TeamId::from_uuid(row.team_id),
        app: row.app_key.parse().map_err(|_| Error::Corrupt("app key"))?,
        name: Name::new(&row.name).map_err(|_| Error::Corrupt("name"))?,
        grant_type: GrantType::parse(&row.grant_type).ok_or(Error::Corrupt("grant type"))?,
        client_id: row.client_id,
        has_secret: row.has_secret,
        scopes: read_json(&row.scopes, "scopes")?,
        return_urls: read_json(&row.return_urls, "return urls")?,
        status: integrations::Status::parse(&row.status).ok_or(Error::Corrupt("status"))?,
        status_reason: row.status_reason,
        created_at: from_micros(row.created_at)?,
        version: read(row.version, "version")?,
    })
}

pub(super) fn client(row: &mut integration::Model) -> Result<SealedCredential, Error> {
    Ok(SealedCredential {
        version: read(row.client_version, "client version")?,
        bytes: row.client.take().ok_or(Error::Corrupt("client"))?,
    })
}

pub(super) fn new_flow(flow: &Flow) -> Result<flow::ActiveModel, Error> {
    let variables = serde_json::to_string(&flow.variables);
    let who = flow.who.clone();
    Ok(flow::ActiveModel {
        id: Set(flow.id.0),
        team_id: Set(flow.team.as_uuid()),
        integration_id: Set(flow.integration.as_uuid()),
        connection_id: Set(flow.again.map(ConnectionId::as_uuid)),
        name: Set(flow.name.to_string()),
        variables: Set(variables.map_err(|_| Error::Corrupt("variables"))?),
        actor: Set(who.actor),
        actor_label: Set(who.label),
        request_id: Set(who.request_id),
        source_ip: Set(who.source_ip),
        return_url: Set(flow.return_url.clone().unwrap_or_default()),
        expires_at: Set(micros(flow.expires_at)),
        ticket: Set(None),
        cookie: Set(None),
        state: Set(None),
        attempt: Set(stored(flow.attempt, "attempt")?),
        secret: Set(None),
    })
}

pub(super) fn flow(row: flow::Model) -> Result<Flow, Error> {
    Ok(Flow {
        id: FlowId(row.id),
        team: TeamId::from_uuid(row.team_id),
        integration: IntegrationId::from_uuid(row.integration_id),
        name: Name::new(&row.name).map_err(|_| Error::Corrupt("name"))?,
        again: row.connection_id.map(ConnectionId::from_uuid),
        variables: read_json(&row.variables, "variables")?,
        who: Who {
            actor: row.actor,
            label: row.actor_label,
            request_id: row.request_id,
            source_ip: row.source_ip,
        },
        return_url: Some(row.return_url).filter(|url| !url.is_empty()),
        expires_at: from_micros(row.expires_at)?,
        attempt: read(row.attempt, "attempt")?,
    })
}

pub(super) fn credential(row: &mut connection::Model) -> Result<SealedCredential, Error> {
    Ok(SealedCredential {
        version: read(row.credential_version, "credential version")?,
        bytes: row.credential.take().ok_or(Error::Corrupt("credential"))?,
    })
}

pub(super) fn scope_columns(scope: Scope) -> (&'static str, Uuid) {
    match scope {
        Scope::Key(id) => ("key", id.as_uuid()),
        Scope::Team(id) => ("team", id.as_uuid()),
        Scope::Integration(id) => ("integration", id.as_uuid()),
        Scope::Connection(id) => ("connection", id.as_uuid()),
    }
}

fn scope(kind: &str, id: Uuid) -> Result<Scope, Error> {
    match kind {
        "key" => Ok(Scope::Key(KeyId::from_uuid(id))),
        "team" => Ok(Scope::Team(TeamId::from_uuid(id))),
        "integration" => Ok(Scope::Integration(IntegrationId::from_uuid(id))),
        "connection" => Ok(Scope::Connection(ConnectionId::from_uuid(id))),
        _ => Err(Error::Corrupt("scope")),
    }
}

pub(super) fn new_outbox(
    operation: OperationId,
    team: TeamId,
    scope: Scope,
    usable: bool,
) -> outbox::ActiveModel {
    let (kind, id) = scope_columns(scope);
    outbox::ActiveModel {
        number: NotSet,
        operation_id: Set(operation.as_uuid()),
        team_id: Set(team.as_uuid()),
        scope_kind: Set(kind.to_owned()),
        scope_id: Set(id),
        usable: Set(usable),
        settled_at: Set(None),
        seq: Set(None),
        acknowledged: Set(None),
        waited_out: Set(None),
        elapsed: Set(None),
    }
}

pub(super) fn settled(answer: Settled, at: OffsetDateTime) -> Result<outbox::ActiveModel, Error> {
    let settled_at = Set(Some(micros(at)));
    let Some(receipt) = answer.receipt else {
        return Ok(outbox::ActiveModel { settled_at, ..Default::default() });
    };
    Ok(outbox::ActiveModel {
        settled_at,
        seq: Set(Some(stored(receipt.seq, "receipt")?)),
        acknowledged: Set(Some(receipt.acknowledged.into())),
        waited_out: Set(Some(receipt.waited_out.into())),
        elapsed: Set(Some(stored(receipt.elapsed.as_micros(), "receipt")?)),
        ..Default::default()
    })
}

pub(super) fn outbox(row: &outbox::Model) -> Result<OutboxRow, Error> {
    let part = |value: Option<i64>| value.ok_or(Error::Corrupt("receipt"));
    let receipt = |seq| -> Result<Receipt, Error> {
        Ok(Receipt {
            seq: read(seq, "receipt")?,
            acknowledged: read(part(row.acknowledged)?, "receipt")?,
            waited_out: read(part(row.waited_out)?, "receipt")?,
            elapsed: Duration::from_micros(read(part(row.elapsed)?, "receipt")?),
        })
    };
    Ok(OutboxRow {
        number: row.number,
        operation: OperationId::from_uuid(row.operation_id),
        team: TeamId::from_uuid(row.team_id),
        scope: scope(&row.scope_kind, row.scope_id)?,
        usable: row.usable,
        settled: match row.settled_at {
            Some(_) => Some(Settled { receipt: row.seq.map(receipt).transpose()? }),
            None => None,
        },
    })
}

pub(super) fn new_entry(entry: &Entry) -> audit::ActiveModel {
    let entry = entry.clone();
    audit::ActiveModel {
        id: Set(entry.id.as_uuid()),
        at: Set(micros(entry.at)),
        team_id: Set(entry.team.as_uuid()),
        actor: Set(entry.actor),
        actor_label: Set(entry.actor_label),
        action: Set(entry.action.to_owned()),
        subject_id: Set(entry.subject),
        subject_label: Set(entry.subject_label),
        before: Set(entry.before),
        after: Set(entry.after),
        request_id: Set(entry.request_id),
        source_ip: Set(entry.source_ip),
        operation_id: Set(entry.operation.map(OperationId::as_uuid)),
    }
}

pub(super) fn entry(row: audit::Model) -> Result<Entry, Error> {
    let action = ACTIONS.into_iter().find(|action| *action == row.action);
    Ok(Entry {
        id: AuditId::from_uuid(row.id),
        at: from_micros(row.at)?,
        team: TeamId::from_uuid(row.team_id),
        actor: row.actor,
        actor_label: row.actor_label,
        action: action.ok_or(Error::Corrupt("action"))?,
        subject: row.subject_id,
        subject_label: row.subject_label,
        before: row.before,
        after: row.after,
        request_id: row.request_id,
        source_ip: row.source_ip,
        operation: row.operation_id.map(OperationId::from_uuid),
    })
}
