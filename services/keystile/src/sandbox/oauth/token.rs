//! The token endpoint, RFC 6749 §3.2, and who asks there.

use std::borrow::Cow;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{
    super::Server,
    Answer,
    authorize::scopes,
    error::{Code, Error, NO_STORE},
    ledger::Tokens,
    parameters::Parameters,
    secret,
};

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    scope: String,
}

/// `POST /oauth/token`.
pub(super) async fn token(
    State(server): State<Server>,
    headers: HeaderMap,
    form: Answer<Parameters>,
) -> Answer<Response> {
    let form = form?;
    let client = client(&server, &headers, &form)?;
    let kind = form.required("grant_type", "grant_type is required")?;
    let tokens = match kind {
        "authorization_code" => {
            let code = form.required("code", "code is required")?;
            let uri = form.required("redirect_uri", "redirect_uri is required")?;
            let verifier = form.required("code_verifier", "code_verifier is required")?;
            if !secret::is_pkce(verifier) {
                let wanted = "code_verifier must be 43 to 128 unreserved characters";
                return Err(Error::new(Code::InvalidRequest, wanted));
            }
            server.ledger().redeem(&client, code, uri, verifier)?
        }
        "refresh_token" => {
            let token = form.required("refresh_token", "refresh_token is required")?;
            let narrowed = form.get("scope")?;
            server.ledger().refresh(&client, token, narrowed)?
        }
        "client_credentials" => {
            let scopes = scopes(&form)?;
            server.ledger().own(&client, scopes)
        }
        _ => {
            let known = "grant_type is none of authorization_code, refresh_token, \
                         client_credentials";
            return Err(Error::new(Code::UnsupportedGrantType, known));
        }
    };
    let Tokens { access, refresh, scopes, expires_in } = tokens;
    let granted = Granted {
        access_token: access,
        token_type: "Bearer",
        expires_in: expires_in.as_secs(),
        refresh_token: refresh,
        scope: scopes.to_string(),
    };
    Ok((NO_STORE, Json(granted)).into_response())
}

/// The client that asks, RFC 6749 §2.3.1: by Basic or by the body, never both.
pub(super) fn client(server: &Server, headers: &HeaderMap, form: &Parameters) -> Answer<String> {
    let id = form.get("client_id")?;
    let secret = form.get("client_secret")?;
    let (id, secret) = match (headers.get(header::AUTHORIZATION), id, secret) {
        (Some(_), _, Some(_)) => {
            let once = "the client authenticates by Basic or by the body, not by both";
            return Err(Error::new(Code::InvalidRequest, once));
        }
        (Some(header), named, None) => {
            let (id, secret) = header.to_str().ok().and_then(basic).ok_or(unknown())?;
            if named.is_some_and(|named| named != id) {
                let two = "client_id is not the client that authenticates";
                return Err(Error::new(Code::InvalidRequest, two));
            }
            (id, secret)
        }
        (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
        (None, _, _) => return Err(unknown()),
    };
    if server.clients().know(&id, &secret) { Ok(id) } else { Err(unknown()) }
}

const fn unknown() -> Error {
    Error::new(Code::InvalidClient, "the client is unknown or did not prove itself")
}

/// The two parts of Basic, each form-encoded before they were joined.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, pair) = header.split_once(' ')?;
    let pair = STANDARD.decode(pair).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(part: &str) -> Option<String> {
    let spaced = part.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_basic_are_form_encoded() {
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let read = |pair: &str| basic(&header(pair)).expect("two parts");
        assert_eq!(read("a%3Ab:c%25+d"), ("a:b".to_owned(), "c% d".to_owned()));
        assert_eq!(read("a:b:c"), ("a".to_owned(), "b:c".to_owned()));
        assert_eq!(basic(&header("a")), None);
        assert_eq!(basic(&header("a:%ff")), None);
        assert_eq!(basic("Bearer YTpi"), None);
        assert_eq!(basic("Basic a:b"), None);
    }
}
