//! Messages ↔ what the use cases speak.

use std::collections::{BTreeMap, HashMap};

use keystile_contract::{
    Failure,
    convert::{parse, receipt, text, timestamp},
    proto::{
        common::v1::{AuditEntry, Outcome},
        vault::v1::{
            self as proto, BasicCredential, ConnectionStatus, CreateConnectionRequest,
            FieldsCredential, GrantProblem, static_credential::Kind,
        },
    },
};
use keystile_domain::{ComponentId, ConnectionId, Grant, name::Name};

use crate::{
    audit,
    check_grant::Problem,
    connection::{Connection, Status},
    create::{Account, Create},
    credential::Given,
    delete::Deleted,
};

const DEFAULT_PAGE: u64 = 50;
const LARGEST_PAGE: u32 = 200;
/// Longer than any id.
const LONGEST_SUBJECT: usize = 100;
/// More variables than any server has.
const MOST_VARIABLES: usize = 50;
/// Connections of one batch.
const MOST_IDS: usize = 200;

pub(super) fn page_size(asked: u32) -> Result<u64, Failure> {
    match asked {
        0 => Ok(DEFAULT_PAGE),
        1..=LARGEST_PAGE => Ok(asked.into()),
        _ => Err(Failure::invalid("page_size", "must be 1 to 200")),
    }
}

/// Whose entries are asked for: any text that could be an id, which a database takes as a value.
pub(super) fn subject(text: String) -> Result<Option<String>, Failure> {
    if text.chars().count() > LONGEST_SUBJECT || text.chars().any(char::is_control) {
        return Err(Failure::invalid("subject_id", "is not an id"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(super) fn create(request: CreateConnectionRequest) -> Result<Create, Failure> {
    let app = parse("app_key", &request.app_key)?;
    let name = name(&request.name)?;
    let variables = variables(request.server_variables)?;
    let kind = request.credential.and_then(|credential| credential.kind);
    let given = match kind.ok_or_else(|| Failure::invalid("credential", "is required"))? {
        Kind::BearerToken(token) => Given::Bearer(token.into()),
        Kind::ApiKey(key) => Given::ApiKey(key.into()),
        Kind::Basic(BasicCredential { username, password }) => {
            Given::Basic { user: username.into(), password: password.into() }
        }
        Kind::Fields(FieldsCredential { values }) => {
            Given::Fields(values.into_iter().map(|(label, value)| (label, value.into())).collect())
        }
        Kind::IntegrationId(id) => {
            let account = Account::Client(parse("credential.integration_id", &id)?);
            return Ok(Create { app, name, account, variables });
        }
    };
    Ok(Create { app, name, account: Account::Given(given), variables })
}

pub(super) fn variables(
    given: HashMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    if given.len() > MOST_VARIABLES {
        return Err(Failure::invalid("server_variables", "has too many members"));
    }
    Ok(given.into_iter().collect())
}

pub(super) fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| Failure::invalid("name", error.to_string()))
}

pub(super) fn connection_ids(texts: &[String]) -> Result<Vec<ConnectionId>, Failure> {
    if texts.len() > MOST_IDS {
        return Err(Failure::invalid("connection_ids", "has more than 200 members"));
    }
    let named = |at: usize| format!("connection_ids[{at}]");
    texts.iter().enumerate().map(|(at, id)| parse(&named(at), id)).collect()
}

pub(super) fn deleted(deleted: &Deleted) -> Outcome {
    Outcome {
        operation_id: deleted.operation.to_string(),
        receipt: deleted.receipt.as_ref().map(receipt),
        pending: deleted.receipt.is_none(),
    }
}

pub(super) fn components(texts: &[String]) -> Result<Vec<ComponentId>, Failure> {
    if texts.len() > Grant::MAX_COMPONENTS {
        return Err(Failure::invalid("components", "has more than 1000 members"));
    }
    let parsed = texts.iter().enumerate().map(|(at, id)| parse(&format!("components[{at}]"), id));
    parsed.collect()
}

pub(super) fn connection(connection: &Connection) -> proto::Connection {
    proto::Connection {
        id: connection.id.to_string(),
        app_key: connection.app.to_string(),
        name: connection.name.to_string(),
        status: status(connection.health.status).into(),
        status_reason: connection.health.reason.clone(),
        auth_scheme: connection.scheme.as_str().to_owned(),
        created_at: Some(timestamp(connection.created_at)),
        last_used_at: connection.last_used_at.map(timestamp),
        integration_id: text(connection.issued.as_ref().map(|issued| issued.integration)),
        scopes: connection.issued.iter().flat_map(|issued| issued.scopes.clone()).collect(),
        expires_at: connection.issued.as_ref().and_then(|own| own.expires_at).map(timestamp),
    }
}

const fn status(status: Status) -> ConnectionStatus {
    match status {
        Status::Active => ConnectionStatus::Active,
        Status::Expired => ConnectionStatus::Expired,
        Status::Revoked => ConnectionStatus::Revoked,
        Status::MissingScopes => ConnectionStatus::MissingScopes,
        Status::Failing => ConnectionStatus::Failing,
    }
}

pub(super) fn problem(problem: &Problem) -> GrantProblem {
    GrantProblem {
        component: text(problem.component.as_ref()),
        code: problem.code.to_owned(),
        detail: problem.detail.clone(),
    }
}

pub(super) fn entry((entry, seq): (audit::Entry, u64)) -> AuditEntry {
    AuditEntry {
        // Issuance's own row of the cut has it.
        receipt: None,
        id: entry.id.to_string(),
        at: Some(timestamp(entry.at)),
        team_id: entry.team.to_string(),
        actor: entry.actor,
        actor_label: entry.actor_label,
        action: entry.action.to_owned(),
        subject_id: entry.subject,
        subject_label: entry.subject_label,
        before: entry.before,
        after: entry.after,
        request_id: entry.request_id,
        source_ip: entry.source_ip,
        seq,
    }
}
