//! Messages of issuance ↔ its types.

use keystile_contract::{
    Failure,
    convert::{
        environment, from_environment, from_key_status, grant, ip_net, key_status, limits,
        optional_wall, parse, parse_optional, receipt, text, timestamp,
    },
    proto::{common::v1 as common, issuance::v1 as proto},
};
use keystile_domain::{
    Environment,
    name::{Description, InvalidText, Name},
    plan::Plan,
};

use crate::{
    change::Outcome,
    keys::{AskedGrant, KeyUpdate, ListKeys, NewKey},
    store::{AuditRecord, KeyRecord, KeySort, TeamStatus},
    teams::Team,
};

/// The longest name of a plan, characters.
const MAX_PLAN_NAME: usize = 100;

pub(super) fn name(field: &str, text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error: InvalidText| Failure::invalid(field, error.to_string()))
}

fn description(text: &str) -> Result<Description, Failure> {
    Description::new(text).map_err(|error| Failure::invalid("description", error.to_string()))
}

fn required_environment(value: common::Environment) -> Result<Environment, Failure> {
    from_environment(value).ok_or_else(|| Failure::invalid("environment", "is required"))
}

/// A number of an enum that this version knows.
fn known<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, Failure> {
    E::try_from(value).map_err(|_| Failure::invalid(field, "is not one of the known values"))
}

pub(super) fn asked_grant(field: &str, grant: &common::Grant) -> Result<AskedGrant, Failure> {
    let components = grant.allowed_components.iter().enumerate();
    Ok(AskedGrant {
        field: field.to_owned(),
        app: parse(&format!("{field}.app_key"), &grant.app_key)?,
        connection: parse_optional(&format!("{field}.connection_id"), &grant.connection_id)?,
        components: components
            .map(|(at, id)| parse(&format!("{field}.allowed_components[{at}]"), id))
            .collect::<Result<_, _>>()?,
    })
}

fn networks(field: &str, list: &[String]) -> Result<Vec<ipnet::IpNet>, Failure> {
    let list = list.iter().enumerate();
    list.map(|(at, text)| ip_net(&format!("{field}[{at}]"), text)).collect()
}

pub(super) fn new_key(request: &proto::CreateKeyRequest) -> Result<NewKey, Failure> {
    let grants = request.grants.iter().enumerate();
    Ok(NewKey {
        name: name("name", &request.name)?,
        description: description(&request.description)?,
        environment: required_environment(known("environment", request.environment)?)?,
        expires_at: optional_wall("expires_at", request.expires_at.as_ref())?,
        ip_allow_list: networks("ip_allow_list", &request.ip_allow_list)?,
        limits: keystile_contract::convert::from_limits("limits", request.limits.as_ref())?,
        grants: grants
            .map(|(at, grant)| asked_grant(&format!("grants[{at}]"), grant))
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn update(request: &proto::UpdateKeyRequest) -> Result<KeyUpdate, Failure> {
    let expiry = request.expiry.as_ref();
    let list = request.ip_allow_list.as_ref();
    let limits = request.limits.as_ref();
    Ok(KeyUpdate {
        name: request.name.as_deref().map(|text| name("name", text)).transpose()?,
        description: request.description.as_deref().map(description).transpose()?,
        expires_at: expiry
            .map(|expiry| optional_wall("expiry.at", expiry.at.as_ref()))
            .transpose()?,
        ip_allow_list: list
            .map(|list| networks("ip_allow_list.networks", &list.networks))
            .transpose()?,
        limits: limits
            .map(|limits| keystile_contract::convert::from_limits("limits", Some(limits)))
            .transpose()?,
    })
}

pub(super) fn list(request: proto::ListKeysRequest) -> Result<ListKeys, Failure> {
    Ok(ListKeys {
        page_size: request.page_size,
        environment: from_environment(known("environment", request.environment)?),
        status: from_key_status(known("status", request.status)?),
        app: parse_optional("app_key", &request.app_key)?,
        sort: match known("sort", request.sort)? {
            proto::KeySort::Unspecified | proto::KeySort::CreatedDesc => KeySort::CreatedDesc,
            proto::KeySort::CreatedAsc => KeySort::CreatedAsc,
            proto::KeySort::NameAsc => KeySort::NameAsc,
            proto::KeySort::NameDesc => KeySort::NameDesc,
        },
        page_token: request.page_token,
        name_contains: request.name_contains,
    })
}

pub(super) fn key(record: &KeyRecord) -> proto::Key {
    let secrets = record.secrets.iter().map(|secret| proto::Secret {
        id: secret.id.to_string(),
        created_at: Some(timestamp(secret.created_at)),
        not_after: secret.not_after.map(timestamp),
        token_key_version: secret.token_key_version.into(),
    });
    proto::Key {
        id: record.id.to_string(),
        name: record.name.to_string(),
        description: record.description.as_str().to_owned(),
        environment: environment(record.environment).into(),
        status: key_status(record.status).into(),
        public_key: record.kid.public_key(record.environment),
        masked_token: record.kid.masked(record.environment),
        expires_at: record.expires_at.map(timestamp),
        ip_allow_list: record.ip_allow_list.iter().map(ToString::to_string).collect(),
        limits: Some(limits(record.limits)),
        grants: record.grants.iter().map(grant).collect(),
        secrets: secrets.collect(),
        created_at: Some(timestamp(record.created_at)),
        updated_at: Some(timestamp(record.updated_at)),
        created_by: text(record.created_by),
    }
}

pub(super) fn outcome(value: &Outcome) -> common::Outcome {
    common::Outcome {
        operation_id: value.operation.to_string(),
        receipt: value.receipt.as_ref().map(receipt),
        pending: value.pending,
    }
}

pub(super) fn audit(row: AuditRecord) -> common::AuditEntry {
    common::AuditEntry {
        id: row.id.to_string(),
        at: Some(timestamp(row.at)),
        team_id: row.team.to_string(),
        actor: row.actor,
        actor_label: row.actor_label,
        action: row.action.as_str().to_owned(),
        subject_id: row.subject,
        subject_label: row.subject_label,
        before: row.before,
        after: row.after,
        request_id: row.request_id,
        source_ip: text(row.source_ip),
        seq: row.seq,
        receipt: row.receipt.as_ref().map(receipt),
    }
}

pub(super) fn team(team: &Team) -> proto::Team {
    let (record, plan) = (&team.record, &team.record.plan);
    let status = match record.status {
        TeamStatus::Active => proto::TeamStatus::Active,
        TeamStatus::Suspended => proto::TeamStatus::Suspended,
    };
    proto::Team {
        id: record.id.to_string(),
        name: record.name.to_string(),
        status: status.into(),
        plan: Some(proto::Plan {
            name: plan.name.clone(),
            api_access: plan.api_access,
            max_keys: plan.max_keys,
            monthly_requests: plan.monthly_requests,
        }),
        key_count: u32::try_from(team.key_count).unwrap_or(u32::MAX),
    }
}

pub(super) fn plan(message: Option<&proto::Plan>) -> Result<Plan, Failure> {
    let plan = message.ok_or_else(|| Failure::invalid("plan", "is required"))?;
    let called = name("plan.name", &plan.name)?;
    if called.as_str().chars().count() > MAX_PLAN_NAME {
        return Err(Failure::invalid("plan.name", "must have at most 100 characters"));
    }
    Ok(Plan {
        name: called.to_string(),
        api_access: plan.api_access,
        max_keys: plan.max_keys,
        monthly_requests: plan.monthly_requests,
    })
}
