//! JSON bodies, read strictly: one reading of each document, and no member that nobody asked for.

mod fault;
mod parse;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Problem, problem::Fault};

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 64;

/// A request body of type `application/json` as a `T`.
///
/// 415 for another content type or an encoded body, 413 for a body beyond the limit, 400 `invalid_json` for what is
/// not JSON in UTF-8, nests deeper than [`MAX_DEPTH`] or names a member twice, and 422
/// `invalid_request` with the JSON pointer of the member that a `T` does not have or that has
/// another form. Unknown members are refused where `T` says `deny_unknown_fields`.
#[derive(Debug, Clone, Copy)]
pub struct StrictJson<T>(pub T);

impl<T, S> FromRequest<S> for StrictJson<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the content type must be application/json",
            ));
        }
        // Nothing is unpacked here, so that a body is never larger than it was counted.
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be sent as it is, without a content encoding",
            ));
        }
        let bytes = read(request.into_body()).await?;
        deserialize(parse(&bytes)?).map(Self)
    }
}

/// Reads a JSON document: UTF-8, no deeper than [`MAX_DEPTH`], no member named twice.
///
/// # Errors
/// 400 `invalid_json`.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    parse::document(bytes).map_err(|detail| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("the body is not acceptable JSON: {detail}"),
        )
    })
}

/// A document as a `T`, which is an object.
///
/// # Errors
/// 422 `invalid_request`, with the JSON pointer of what is wrong.
pub fn deserialize<T: DeserializeOwned>(document: Value) -> Result<T, Problem> {
    if !document.is_object() {
        // serde would read an array as a struct, member by member.
        let detail = "must be an object".to_owned();
        return Err(Problem::faults(&[Fault { pointer: String::new(), detail }]));
    }
    serde_path_to_error::deserialize(document)
        .map_err(|error| Problem::faults(&[fault::of(&error)]))
}

/// Reads a whole body, within the limit that [`super::harden`] set.
///
/// # Errors
/// 413 `body_too_large`, or 400 `incomplete_body` if the client broke off.
pub async fn read(body: Body) -> Result<Bytes, Problem> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if exceeds_limit(&error) => Err(too_large()),
        Err(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "incomplete_body",
            "the body ended before its announced length",
        )),
    }
}

pub(super) fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "the body is larger than this server accepts",
    )
}

fn exceeds_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(exceeds_limit)
}

/// `application/json`, with no parameter but a UTF-8 charset (RFC 8259 knows no other).
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().is_some_and(|essence| essence == "application/json")
        && parts.all(|parameter| {
            ["", "charset=utf-8", "charset=\"utf-8\""].contains(&parameter.as_str())
        })
}
