//! Issuance's facts as domain types.

use keystile_contract::{
    Failure,
    convert::{
        from_environment, from_grant, from_limits, ip_net, optional_wall, parse, required_position,
    },
    proto::issuance::v1::{self as proto, LookupResponse},
};
use keystile_domain::{
    Position,
    facts::{GrantFacts, KeyFacts, KeyStatus, SecretFacts},
};

/// The answer to a look-up: as of when, and the facts if there is such a key.
pub(super) fn looked_up(answer: &LookupResponse) -> Result<(Position, Option<KeyFacts>), Failure> {
    let as_of = required_position("as_of", answer.as_of.as_ref())?;
    Ok((as_of, answer.facts.as_ref().map(key).transpose()?))
}

fn key(facts: &proto::KeyFacts) -> Result<KeyFacts, Failure> {
    let required = |field: &str| Failure::invalid(field, "is required");
    let networks = facts.ip_allow_list.iter().map(|text| ip_net("ip_allow_list", text));
    Ok(KeyFacts {
        key: parse("key_id", &facts.key_id)?,
        team: parse("team_id", &facts.team_id)?,
        kid: parse("kid", &facts.kid)?,
        name: facts.name.as_str().into(),
        environment: from_environment(facts.environment())
            .ok_or_else(|| required("environment"))?,
        status: status(facts.status()).ok_or_else(|| required("status"))?,
        team_suspended: facts.team_suspended,
        api_access: facts.api_access,
        expires_at: optional_wall("expires_at", facts.expires_at.as_ref())?,
        ip_allow_list: networks.collect::<Result<_, _>>()?,
        limits: from_limits("limits", facts.limits.as_ref())?,
        secrets: facts.secrets.iter().map(secret).collect::<Result<_, _>>()?,
        grants: facts.grants.iter().map(grant).collect::<Result<_, _>>()?,
    })
}

const fn status(status: proto::KeyStatus) -> Option<KeyStatus> {
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

fn grant(held: &proto::GrantFacts) -> Result<GrantFacts, Failure> {
    let grant =
        held.grant.as_ref().ok_or_else(|| Failure::invalid("grants.grant", "is required"))?;
    Ok(GrantFacts { grant: from_grant("grants.grant", grant)?, usable: held.usable })
}
