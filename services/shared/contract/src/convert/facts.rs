//! What is known of a key, as issuance says it and verification keeps it.

use keystile_domain::facts::{GrantFacts, KeyFacts, KeyStatus, SecretFacts};

use super::{
    environment, from_environment, from_grant, from_limits, grant, ip_net, limits, optional_wall,
    parse, timestamp,
};
use crate::{proto::issuance::v1 as proto, status::Failure};

/// Facts as a message.
#[must_use]
pub fn key_facts(facts: &KeyFacts) -> proto::KeyFacts {
    let secrets = facts.secrets.iter().map(|secret| proto::SecretFacts {
        id: secret.id.to_string(),
        phc: secret.phc.to_string(),
        token_key_version: secret.token_key_version.into(),
        not_after: secret.not_after.map(timestamp),
    });
    let grants = facts
        .grants
        .iter()
        .map(|held| proto::GrantFacts { grant: Some(grant(&held.grant)), usable: held.usable });
    proto::KeyFacts {
        key_id: facts.key.to_string(),
        team_id: facts.team.to_string(),
        kid: facts.kid.to_string(),
        name: facts.name.to_string(),
        environment: environment(facts.environment).into(),
        status: key_status(facts.status).into(),
        team_suspended: facts.team_suspended,
        api_access: facts.api_access,
        expires_at: facts.expires_at.map(timestamp),
        ip_allow_list: facts.ip_allow_list.iter().map(ToString::to_string).collect(),
        limits: Some(limits(facts.limits)),
        secrets: secrets.collect(),
        grants: grants.collect(),
    }
}

/// A message as facts.
///
/// # Errors
/// Names the field that cannot be read.
pub fn from_key_facts(facts: &proto::KeyFacts) -> Result<KeyFacts, Failure> {
    let required = |field: &str| Failure::invalid(field, "is required");
    let networks = facts.ip_allow_list.iter().map(|text| ip_net("ip_allow_list", text));
    Ok(KeyFacts {
        key: parse("key_id", &facts.key_id)?,
        team: parse("team_id", &facts.team_id)?,
        kid: parse("kid", &facts.kid)?,
        name: facts.name.as_str().into(),
        environment: from_environment(facts.environment())
            .ok_or_else(|| required("environment"))?,
        status: from_key_status(facts.status()).ok_or_else(|| required("status"))?,
        team_suspended: facts.team_suspended,
        api_access: facts.api_access,
        expires_at: optional_wall("expires_at", facts.expires_at.as_ref())?,
        ip_allow_list: networks.collect::<Result<_, _>>()?,
        limits: from_limits("limits", facts.limits.as_ref())?,
        secrets: facts.secrets.iter().map(secret).collect::<Result<_, _>>()?,
        grants: facts.grants.iter().map(held).collect::<Result<_, _>>()?,
    })
}

/// A key's state as a message.
#[must_use]
pub const fn key_status(status: KeyStatus) -> proto::KeyStatus {
    match status {
        KeyStatus::Active => proto::KeyStatus::Active,
        KeyStatus::Disabled => proto::KeyStatus::Disabled,
        KeyStatus::Revoked => proto::KeyStatus::Revoked,
    }
}

/// A message as a key's state; `None` if it says none.
#[must_use]
pub const fn from_key_status(status: proto::KeyStatus) -> Option<KeyStatus> {
    match status {
        proto::KeyStatus::Unspecified => None,
        proto::KeyStatus::Active => Some(KeyStatus::Active),
        proto::KeyStatus::Disabled => Some(KeyStatus::Disabled),
        proto::KeyStatus::Revoked => Some(KeyStatus::Revoked),
    }
}

fn secret(secret: &proto::SecretFacts) -> Result<SecretFacts, Failure> {
    let version = u8::try_from(secret.token_key_version);
    Ok(SecretFacts {
        id: parse("secrets.id", &secret.id)?,
        phc: secret.phc.as_str().into(),
        token_key_version: version
            .map_err(|_| Failure::invalid("secrets.token_key_version", "must be at most 255"))?,
        not_after: optional_wall("secrets.not_after", secret.not_after.as_ref())?,
    })
}

fn held(held: &proto::GrantFacts) -> Result<GrantFacts, Failure> {
    let grant =
        held.grant.as_ref().ok_or_else(|| Failure::invalid("grants.grant", "is required"))?;
    Ok(GrantFacts { grant: from_grant("grants.grant", grant)?, usable: held.usable })
}
