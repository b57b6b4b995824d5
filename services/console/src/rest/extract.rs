//! What handlers take from a request: who asks, which id, which parameters. Each refuses by itself.

use std::str::FromStr;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    http::{HeaderName, StatusCode, header, request::Parts},
};
use keystile_domain::{Actor, OperationId, TeamId};
use keystile_runtime::{
    Problem,
    http::{RequestId, client_ip, json},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::problem::not_found;
use crate::{
    Error, Service, Unusable,
    bootstrap::operator,
    token_use::{Caller, Origin},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST_IDEMPOTENCY_KEY: usize = 255;

/// The bearer token of a request. Cookies are never read.
fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn origin(parts: &Parts, service: &Service) -> Origin {
    let trusted = &service.config().trusted_proxies;
    Origin {
        request_id: parts.extensions.get().map(RequestId::to_string).unwrap_or_default(),
        source_ip: client_ip(&parts.extensions, &parts.headers, trusted),
    }
}

/// Whoever holds a management token.
impl FromRequestParts<Service> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or(Error::from(Unusable::Missing))?;
        let origin = origin(parts, service);
        Ok(service.caller(token, origin, service.clock().now()).await?)
    }
}

/// Whoever holds the operator token.
pub(super) struct Operator(pub(super) Actor);

impl FromRequestParts<Service> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        if !bearer(parts).is_some_and(|token| service.is_operator(token)) {
            return Err(Error::from(Unusable::NotOperator).into());
        }
        let Origin { request_id, source_ip } = origin(parts, service);
        Ok(Self(Actor { source_ip, ..operator(request_id) }))
    }
}

/// The query of a request: parameters that `T` knows, each at most once, and no others.
pub(super) struct StrictQuery<T>(pub(super) T);

/// For routes without parameters: one in the wrong place is told, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A query without parameters.
pub(super) type NoQuery = StrictQuery<Nothing>;

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The cause would repeat what was sent, which may be a token put in the wrong place.
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "a query parameter is unknown, repeated or malformed",
            )
        })?;
        Ok(Self(query))
    }
}

/// The path's parameter `{id}`. What cannot be an id is as unknown as one that is nobody's.
pub(super) struct PathId<T>(pub(super) T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "id").await.map(Self)
    }
}

/// The path's parameter `{appKey}`.
pub(super) struct PathApp<T>(pub(super) T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for PathApp<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "appKey").await.map(Self)
    }
}

async fn parameter<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<T, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| not_found())?;
    let found = params.iter().find(|(known, _)| *known == name);
    found.and_then(|(_, text)| text.parse().ok()).ok_or_else(not_found)
}

/// No body, or an empty object: a request that takes nothing is not given anything.
pub(super) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes: Bytes = json::read(request.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Self);
        }
        json::deserialize::<Nothing>(json::parse(&bytes)?).map(|Nothing {}| Self)
    }
}

/// Where a repeat would not be recognised, the request says so instead of doing things twice.
pub(super) struct NoIdempotencyKey;

impl<S: Sync> FromRequestParts<S> for NoIdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "idempotency_not_supported",
                "this request does not support Idempotency-Key, and refuses rather than ignores it",
            ));
        }
        Ok(Self)
    }
}

/// The caller's own name for a request, by which a repeat is recognised.
pub(super) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let text = value.to_str().ok().filter(|text| {
            (1..=LONGEST_IDEMPOTENCY_KEY).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        });
        let text = text.ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "Idempotency-Key must have 1 to 255 visible ASCII characters",
            )
        })?;
        Ok(Self(Some(text.to_owned())))
    }
}

impl IdempotencyKey {
    /// The operation that this request asks for: the same for a repeat under the same key in the
    /// same team, new without one.
    pub(super) fn operation(&self, service: &Service, team: TeamId) -> OperationId {
        let Some(key) = &self.0 else {
            return OperationId::generate(service.clock().now(), service.entropy());
        };
        let mut digest = Sha256::new();
        digest.update(b"keystile/operation/1");
        digest.update(team.as_uuid().as_bytes());
        digest.update(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        // RFC 9562, section 5.8: version 8 is for values made by a rule of one's own.
        OperationId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}
