//! The sealed actor: who asks, vouched for by the console, in `keystile-actor-bin`.

use std::net::IpAddr;

use keystile_domain::{
    Actor, ErrorKind, Permission, Role,
    permission::{Denied, Principal},
};
use prost::Message;
use time::OffsetDateTime;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::{
    Failure, SealKeys,
    convert::{parse, parse_optional, text},
    proto::common::v1::{self as proto, PrincipalKind, SealKind, Sealed},
    seal::ACTOR_TTL,
};

/// The metadata key.
pub const ACTOR_METADATA: &str = "keystile-actor-bin";

/// Seals `actor` for `audience` and attaches it to a request's metadata.
///
/// # Errors
/// [`Failure`] of kind internal if this role cannot vouch for actors to that audience.
pub fn attach(
    metadata: &mut MetadataMap,
    actor: &Actor,
    audience: Role,
    keys: &SealKeys,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let payload = to_proto(actor).encode_to_vec();
    let sealed = keys
        .seal(SealKind::Actor, audience, now + ACTOR_TTL, payload)
        .map_err(|_| Failure::internal())?;
    metadata.insert_bin(ACTOR_METADATA, MetadataValue::from_bytes(&sealed.encode_to_vec()));
    Ok(())
}

/// The actor of a request.
///
/// # Errors
/// [`Failure`] of kind unauthenticated if there is none that the console sealed for this role and
/// that is still current.
pub fn of_request(
    metadata: &MetadataMap,
    keys: &SealKeys,
    now: OffsetDateTime,
) -> Result<Actor, Failure> {
    let unauthenticated =
        |message: &str| Failure::new(ErrorKind::Unauthenticated, "actor_required", message);
    let bytes = metadata
        .get_bin(ACTOR_METADATA)
        .and_then(|value| value.to_bytes().ok())
        .ok_or_else(|| unauthenticated("a sealed actor is required"))?;
    let sealed = Sealed::decode(bytes).map_err(|_| unauthenticated("the actor is malformed"))?;
    let (_, payload) = keys
        .open(SealKind::Actor, &sealed, now)
        .map_err(|error| unauthenticated(&error.to_string()))?;
    let actor =
        proto::Actor::decode(payload).map_err(|_| unauthenticated("the actor is malformed"))?;
    from_proto(&actor)
}

fn to_proto(actor: &Actor) -> proto::Actor {
    let (principal, user, token) = match actor.principal {
        Principal::User(user) => (PrincipalKind::User, Some(user), None),
        Principal::Token(token, user) => (PrincipalKind::Token, Some(user), Some(token)),
        Principal::Operator => (PrincipalKind::Operator, None, None),
    };
    proto::Actor {
        principal: principal.into(),
        user_id: text(user),
        token_id: text(token),
        label: actor.label.clone(),
        team_id: text(actor.team),
        permissions: actor.permissions.iter().map(|held| held.as_str().to_owned()).collect(),
        request_id: actor.request_id.clone(),
        source_ip: text(actor.source_ip),
    }
}

fn from_proto(actor: &proto::Actor) -> Result<Actor, Failure> {
    let principal = match actor.principal() {
        PrincipalKind::User => Principal::User(parse("actor.user_id", &actor.user_id)?),
        PrincipalKind::Token => Principal::Token(
            parse("actor.token_id", &actor.token_id)?,
            parse("actor.user_id", &actor.user_id)?,
        ),
        PrincipalKind::Operator => Principal::Operator,
        PrincipalKind::Unspecified => {
            return Err(Failure::invalid("actor.principal", "is required"));
        }
    };
    Ok(Actor {
        principal,
        label: actor.label.clone(),
        team: parse_optional("actor.team_id", &actor.team_id)?,
        // A newer console may know permissions that this process does not: they grant nothing here.
        permissions: actor.permissions.iter().filter_map(|name| Permission::parse(name)).collect(),
        request_id: actor.request_id.clone(),
        source_ip: parse_optional::<IpAddr>("actor.source_ip", &actor.source_ip)?,
    })
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let failure = Self::new(ErrorKind::Forbidden, "permission_denied", denied.to_string());
        match denied {
            Denied::Permission(permission) => failure.with("required", permission.as_str()),
            Denied::Operator => failure.with("required", "operator"),
        }
    }
}

#[cfg(test)]
mod tests {
    use keystile_domain::{MemberRole, TeamId, UserId};

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn what_the_console_vouches_for_arrives_whole() {
        let keys = [(1, [3; 32])];
        let id = "00000000-0000-7000-8000-000000000001".parse().expect("a uuid");
        let actor = Actor {
            principal: Principal::User(UserId::from_uuid(id)),
            label: "ada@example.com".into(),
            team: Some(TeamId::from_uuid(id)),
            permissions: MemberRole::Developer.permissions(),
            request_id: "req-1".into(),
            source_ip: Some("192.0.2.1".parse().expect("an address")),
        };
        let mut metadata = MetadataMap::new();
        let console = SealKeys::derive(Role::Console, &keys);
        attach(&mut metadata, &actor, Role::Vault, &console, NOW).expect("sealed");
        let vault = SealKeys::derive(Role::Vault, &keys);
        assert_eq!(of_request(&metadata, &vault, NOW), Ok(actor));
        let issuance = SealKeys::derive(Role::Issuance, &keys);
        let refused = of_request(&metadata, &issuance, NOW).expect_err("sealed for vault");
        assert_eq!(refused.kind, ErrorKind::Unauthenticated);
        assert!(of_request(&MetadataMap::new(), &vault, NOW).is_err());
    }
}
