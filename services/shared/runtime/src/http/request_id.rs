//! The name of one request, in its answer, its problem, its log lines and audit rows.

use std::{fmt, sync::Arc};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use keystile_domain::{base62, entropy};

use crate::{Problem, SystemEntropy};

/// Where it travels.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: 1 to 64 characters `[A-Za-z0-9_-]`. An extension of every request that
/// [`super::harden`] let through.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new one: `req_` and 128 random bits.
    #[must_use]
    pub fn generate() -> Self {
        let digits: [u8; 22] = base62::encode(&entropy::bytes::<16>(&SystemEntropy));
        let digits = digits.into_iter().map(char::from);
        Self("req_".chars().chain(digits).collect::<String>().into())
    }

    /// The caller's id if it gave one acceptable one, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next().and_then(Self::accept), given.next()) {
            (Some(id), None) => id,
            _ => Self::generate(),
        }
    }

    fn accept(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok().filter(|text| (1..=64).contains(&text.len()))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        text.bytes().all(plain).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        // Every character was checked to be fit for a header.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_taken_only_if_it_is_plain_and_single() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_static(value));
            }
            RequestId::of(&headers)
        };
        assert_eq!(of(&["abc-1_Z"]).as_str(), "abc-1_Z");
        let long: &'static str = Box::leak("a".repeat(65).into_boxed_str());
        for refused in [&[][..], &[""], &["a b"], &["<b>"], &["a\tb"], &[long], &["a", "b"]] {
            assert!(of(refused).as_str().starts_with("req_"), "{refused:?}");
        }
        assert_ne!(RequestId::generate(), RequestId::generate());
    }
}
