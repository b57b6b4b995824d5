//! Query parameters: those that a route knows, each at most once, and no others.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use keystile_runtime::Problem;
use serde::{Deserialize, de::DeserializeOwned};

use crate::code;

/// The query of a request. `T` denies unknown fields.
pub(crate) struct StrictQuery<T>(pub(crate) T);

/// For routes without parameters: a token or a filter in the wrong place is told, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

impl<T, S> FromRequestParts<S> for StrictQuery<T>
where
    T: DeserializeOwned,
    S: Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The cause would repeat what was sent, which may be a token put in the wrong place.
        let Query(query) =
            Query::try_from_uri(&parts.uri).map_err(|_| code::INVALID_QUERY.problem())?;
        Ok(Self(query))
    }
}
