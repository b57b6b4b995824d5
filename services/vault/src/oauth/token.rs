//! The token endpoint: RFC 6749 sections 4.1.3, 4.4.2 and 6, RFC 7636 section 4.5.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use keystile_catalog::extension::ClientAuthentication;
use keystile_egress::{Credential, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use url::{Url, form_urlencoded};
use zeroize::{Zeroize, Zeroizing};

use super::{Failure, LARGEST_ANSWER, TIMEOUT, client::Client, endpoints::Endpoints};
use crate::{credential, scope};

/// What an authorization server issued.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The access token.
    pub(crate) access: SecretString,
    /// Absent: there is none, or the one that was used stays good.
    pub(crate) refresh: Option<SecretString>,
    /// For how many seconds the access token is good, if it said so.
    pub(crate) expires_in: Option<u64>,
    /// What was granted; absent: what was asked for (section 5.1).
    pub(crate) scopes: Option<Vec<String>>,
}

/// What is exchanged for tokens.
#[derive(Debug)]
pub(crate) enum Exchange<'a> {
    /// A person consented.
    Code { code: &'a SecretString, verifier: Option<&'a SecretString>, redirect_uri: &'a str },
    /// The client itself.
    ClientCredentials { scope: &'a str },
    /// A refresh token.
    Refresh { token: &'a SecretString },
}

/// The longest time that an access token may be good for, seconds: ten years.
const LONGEST_LIFE: u64 = 10 * 365 * 24 * 3600;

/// Exchanges something for tokens.
///
/// # Errors
/// [`Failure`] tells whether what was exchanged may be spent now.
pub(crate) async fn exchange(
    egress: &keystile_egress::Client,
    client: &Client,
    endpoints: &Endpoints,
    exchange: &Exchange<'_>,
) -> Result<Issued, Failure> {
    let mut form = Form::new();
    let url = match exchange {
        Exchange::Code { code, verifier, redirect_uri } => {
            form.add("grant_type", "authorization_code");
            form.add("code", code.expose_secret());
            form.add("redirect_uri", redirect_uri);
            if let Some(verifier) = verifier {
                form.add("code_verifier", verifier.expose_secret());
            }
            &endpoints.token
        }
        Exchange::ClientCredentials { scope } => {
            form.add("grant_type", "client_credentials");
            if !scope.is_empty() {
                form.add("scope", scope);
            }
            &endpoints.token
        }
        Exchange::Refresh { token } => {
            form.add("grant_type", "refresh_token");
            form.add("refresh_token", token.expose_secret());
            endpoints.for_refresh()
        }
    };
    let (status, body) = post(egress, client, endpoints, url, form).await?;
    read(status, body)
}

/// A form whose every buffer is wiped: it is as long as it can get from the start.
struct Form(Zeroizing<String>);

impl Form {
    fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(64 << 10)))
    }

    fn add(&mut self, name: &str, value: &str) {
        form_urlencoded::Serializer::for_suffix(&mut *self.0, 0).append_pair(name, value);
    }

    fn into_bytes(mut self) -> Bytes {
        Bytes::from_owner(Zeroizing::new(std::mem::take(&mut *self.0).into_bytes()))
    }
}

/// As `application/x-www-form-urlencoded`, which section 2.3.1 wants before the header's base64.
fn encoded(text: &str) -> SecretString {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into()
}

async fn post(
    egress: &keystile_egress::Client,
    client: &Client,
    endpoints: &Endpoints,
    url: &Url,
    mut form: Form,
) -> Result<(StatusCode, Bytes), Failure> {
    let credential = match (&client.secret, endpoints.authentication) {
        (Some(secret), ClientAuthentication::Basic) => Credential::Basic {
            user: encoded(&client.id),
            password: encoded(secret.expose_secret()),
        },
        (secret, ClientAuthentication::Basic | ClientAuthentication::Post) => {
            form.add("client_id", &client.id);
            if let Some(secret) = secret {
                form.add("client_secret", secret.expose_secret());
            }
            Credential::None
        }
    };
    let headers = [
        // GitHub answers with a form otherwise.
        (ACCEPT, HeaderValue::from_static("application/json")),
        (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
    ];
    let request = Request {
        method: Method::POST,
        url: url.clone(),
        headers: HeaderMap::from_iter(headers),
        body: form.into_bytes(),
        timeout: TIMEOUT,
    };
    let answer = egress.send(request, &credential).await.map_err(|e| Failure::of(&e))?;
    // From here on the provider has answered, but its word may still get lost.
    let status = answer.status;
    let body = answer.body.bytes_limited(LARGEST_ANSWER).await.map_err(|_| Failure::Lost)?;
    Ok((status, body))
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    scope: Option<String>,
    token_type: Option<String>,
    error: Option<String>,
}

/// A number, as RFC 6749 has it, or the text of one, as some providers have it. Anything else says
/// nothing.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    // A token that is good for no time at all would be asked for again and again.
    Ok(number.filter(|seconds| *seconds > 0).map(|seconds| seconds.min(LONGEST_LIFE)))
}

fn read(status: StatusCode, body: Bytes) -> Result<Issued, Failure> {
    let answer = serde_json::from_slice::<Answer>(&body);
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.as_mut().zeroize();
    }
    let answer = match answer {
        Ok(answer) if status.is_success() && answer.error.is_none() => answer,
        answer => return Err(refused(status, answer.ok().and_then(|answer| answer.error))),
    };
    let access = answer.access_token.ok_or(Failure::Invalid("it has no access token"))?;
    let fits = |token: &SecretString| credential::sendable("token", token).is_ok();
    if !fits(&access) || !answer.refresh_token.as_ref().is_none_or(fits) {
        return Err(Failure::Invalid("a token cannot be sent"));
    }
    // Tokens that must be signed or bound are of no use without their keys (section 7.1).
    let bound = ["mac", "dpop", "pop"];
    if answer.token_type.is_some_and(|kind| bound.contains(&kind.to_ascii_lowercase().as_str())) {
        return Err(Failure::Invalid("its tokens are not bearer tokens"));
    }
    Ok(Issued {
        access,
        refresh: answer.refresh_token,
        expires_in: answer.expires_in,
        scopes: answer.scope.map(|text| scope::granted(&text)),
    })
}

/// What servers say: RFC 6749 sections 4.1.2.1 and 5.2, and the words of GitHub and Slack.
const CODES: [&str; 22] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "redirect_uri_mismatch",
    "incorrect_client_credentials",
    "bad_verification_code",
    "bad_refresh_token",
    "unverified_user_email",
    "invalid_client_id",
    "bad_client_secret",
    "invalid_code",
    "bad_redirect_uri",
    "invalid_refresh_token",
    "token_expired",
    "token_revoked",
    "oauth_authorization_url_mismatch",
];

/// What an answer that is no success means. Any code above 499 is an outage: the server says that
/// it failed, not what it thinks of the client.
fn refused(status: StatusCode, error: Option<String>) -> Failure {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Failure::Unavailable(format!("it answered {}", status.as_u16()));
    }
    // Any other text may be what was sent, echoed.
    match error.filter(|code| CODES.contains(&code.as_str())) {
        Some(code) if matches!(code.as_str(), "temporarily_unavailable" | "server_error") => {
            Failure::Unavailable(format!("it answered {code}"))
        }
        Some(code) => Failure::Refused(code),
        None if status.is_success() => Failure::Invalid("it does not read"),
        None => Failure::Refused(format!("http_{}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<Issued, Failure> {
        let status = StatusCode::from_u16(status).expect("a status");
        read(status, Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn an_answer_is_read_as_providers_write_it() {
        for (body, expires_in, scopes) in [
            (r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#, Some(3600), None),
            (r#"{"access_token":"a","expires_in":"60","scope":"x,y"}"#, Some(60), Some(2)),
            (r#"{"ok":true,"access_token":"a","scope":"x","token_type":"bot"}"#, None, Some(1)),
            (r#"{"access_token":"a","expires_in":null}"#, None, None),
            (r#"{"access_token":"a","expires_in":-1}"#, None, None),
            (r#"{"access_token":"a","expires_in":0}"#, None, None),
            (r#"{"access_token":"a","expires_in":1e99}"#, None, None),
        ] {
            let issued = answered(200, body).expect(body);
            assert_eq!(issued.expires_in, expires_in, "{body}");
            assert_eq!(issued.scopes.map(|scopes| scopes.len()), scopes, "{body}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_an_outage_and_from_nonsense() {
        let refused = |code: &str| Failure::Refused(code.to_owned());
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant"}"#, refused("invalid_grant")),
            (401, r#"{"error":"invalid_client"}"#, refused("invalid_client")),
            // GitHub and Slack.
            (200, r#"{"error":"bad_verification_code"}"#, refused("bad_verification_code")),
            (200, r#"{"ok":false,"error":"invalid_code"}"#, refused("invalid_code")),
            (404, "<html>", refused("http_404")),
            (400, r#"{"error":"<script>"}"#, refused("http_400")),
            // An echo.
            (400, r#"{"error":"5f2ac3b9d0e14c7788aa"}"#, refused("http_400")),
            (200, "<html>", Failure::Invalid("it does not read")),
            (200, "{}", Failure::Invalid("it has no access token")),
            (200, r#"{"access_token":"a\r\nb"}"#, Failure::Invalid("a token cannot be sent")),
            (
                200,
                r#"{"access_token":"a","token_type":"DPoP"}"#,
                Failure::Invalid("its tokens are not bearer tokens"),
            ),
        ] {
            assert_eq!(answered(status, body).expect_err(body), expected);
        }
        for (status, body) in [
            (503, ""),
            (500, r#"{"error":"invalid_grant"}"#),
            (429, ""),
            (400, r#"{"error":"temporarily_unavailable"}"#),
        ] {
            let failure = answered(status, body).expect_err(body);
            assert!(matches!(failure, Failure::Unavailable(_)), "{status} {failure}");
        }
    }
}
