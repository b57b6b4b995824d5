//! Which account a request's token opens, and for what: RFC 6750.

use axum::extract::FromRequestParts;
use http::{HeaderValue, StatusCode, header, request::Parts};
use keystile_runtime::Problem;

use super::{
    Answer, Server,
    oauth::{Scope, Scopes},
};

/// The account of a token, whatever its scopes.
pub(super) struct Holder(pub(super) String);

/// The account of a token that may read its notes.
pub(super) struct Reader(pub(super) String);

/// The account of a token that may write and delete its notes.
pub(super) struct Writer(pub(super) String);

impl FromRequestParts<Server> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Answer<Self> {
        Ok(Self(opened(parts, server)?.0))
    }
}

impl FromRequestParts<Server> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Answer<Self> {
        with_scope(parts, server, Scope::Read).map(Self)
    }
}

impl FromRequestParts<Server> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Answer<Self> {
        with_scope(parts, server, Scope::Write).map(Self)
    }
}

fn with_scope(parts: &Parts, server: &Server, scope: Scope) -> Answer<String> {
    let (account, scopes) = opened(parts, server)?;
    if scopes.has(scope) {
        return Ok(account);
    }
    let detail = format!("the access token lacks the scope {scope}");
    let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail);
    let challenge = match scope {
        Scope::Read => HeaderValue::from_static(
            r#"Bearer realm="sandbox", error="insufficient_scope", scope="notes.read""#,
        ),
        Scope::Write => HeaderValue::from_static(
            r#"Bearer realm="sandbox", error="insufficient_scope", scope="notes.write""#,
        ),
    };
    Err(problem.header(header::WWW_AUTHENTICATE, challenge))
}

fn opened(parts: &Parts, server: &Server) -> Answer<(String, Scopes)> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
        // RFC 6750 §3.1: a request that brought nothing is told no error.
        let detail = "the sandbox wants Authorization: Bearer with an access token";
        return Err(unauthorized(detail, r#"Bearer realm="sandbox""#));
    };
    let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    let opened = token.and_then(|token| plain(token).or_else(|| server.ledger().access(token)));
    opened.ok_or_else(|| {
        let detail = "the access token is unknown, expired or revoked, \
                      or no sandbox_<account>_<secret>";
        unauthorized(detail, r#"Bearer realm="sandbox", error="invalid_token""#)
    })
}

fn unauthorized(detail: &'static str, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// `sandbox_<account>_<16 or more characters>`: both scopes, for ever.
fn plain(token: &str) -> Option<(String, Scopes)> {
    let (account, secret) = token.strip_prefix("sandbox_")?.split_once('_')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let secret = (16..=128).contains(&secret.len()) && secret.bytes().all(plain);
    (is_account(account) && secret).then(|| (account.to_owned(), Scopes::ALL))
}

/// Is this the name of an account: up to 32 letters, digits and hyphens?
pub(super) fn is_account(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}
