//! Which account a request's token opens.

use axum::extract::FromRequestParts;
use http::{StatusCode, header, request::Parts};
use keystile_runtime::Problem;

use super::Answer;

/// The account that a request's token opens.
pub(super) struct Account(pub(super) String);

impl Account {
    fn of(token: &str) -> Option<Self> {
        let (account, secret) = token.strip_prefix("sandbox_")?.split_once('_')?;
        let plain = |text: &str, extra: u8| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == extra)
        };
        let named = (1..=32).contains(&account.len()) && plain(account, b'-');
        let secret = (16..=128).contains(&secret.len()) && plain(secret, b'_');
        (named && secret).then(|| Self(account.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.strip_prefix("Bearer "));
        token.and_then(Self::of).ok_or_else(|| {
            let detail = "the sandbox wants Authorization: Bearer sandbox_<account>_<secret>";
            Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
        })
    }
}
