//! The outside call: request in, bounded answer out, with the credential opened only here.

mod headers;
mod retry;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use keystile_catalog::{App, Component, OutsideRequest, extension::ConnectionLimits};
use keystile_domain::{ConnectionId, Tick, backoff::Backoff};
use keystile_egress::Request;
use serde::de::IgnoredAny;
use serde_json::Value;

use self::retry::Again;
use crate::{
    config::MOST_ANSWER_BYTES,
    connection::Connection,
    credential::{Credential, Secret},
    error::Error,
    store::SealedCredential,
    vault::Vault,
};

/// What the app answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Those of its headers that a caller gets to see.
    pub(crate) headers: Vec<(String, String)>,
    /// How soon it wants to be asked again, if it said so.
    pub(crate) retry_after: Option<Duration>,
    /// The body as JSON: itself if it is JSON, a string otherwise, `null` if empty.
    pub(crate) outputs: Vec<u8>,
}

/// An opened credential that fits its connection, or none where the app needs none.
pub(crate) struct Account {
    connection: Option<ConnectionId>,
    injected: keystile_egress::Credential,
    /// The only place where it may go.
    origin: Option<String>,
    variables: BTreeMap<String, String>,
    /// Is there a refresh token?
    pub(crate) refreshable: bool,
}

impl Account {
    /// For an app without accounts.
    pub(crate) const fn none() -> Self {
        Self {
            connection: None,
            injected: keystile_egress::Credential::None,
            origin: None,
            variables: BTreeMap::new(),
            refreshable: false,
        }
    }
}

/// A request that is ready to go, and what it must keep to.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a OutsideRequest,
    /// Of the app, for each connection.
    pub(crate) limits: &'a ConnectionLimits,
    /// When its caller's time is over.
    pub(crate) ends: Tick,
    /// Asked right before each time that something is sent: may it still?
    pub(crate) admit: &'a (dyn Fn() -> Result<(), Error> + Send + Sync),
}

impl Vault {
    /// Opens the credential of a connection.
    pub(crate) async fn account(
        &self,
        connection: &Connection,
        sealed: &SealedCredential,
    ) -> Result<Account, Error> {
        let mut credential =
            self.keys.open_credential(connection.team, connection.id, sealed).await?;
        // The row says which app; what was sealed decides.
        if credential.app != connection.app {
            return Err(Error::CorruptCredential);
        }
        let variables = std::mem::take(&mut credential.variables);
        let origin = credential.origin.take();
        let refreshable =
            matches!(&credential.secret, Secret::OAuth2(tokens) if tokens.refresh.is_some());
        let injected = Credential::into_injected(credential);
        let injected = injected.map_err(|_| Error::CorruptCredential)?;
        Ok(Account { connection: Some(connection.id), injected, origin, variables, refreshable })
    }

    /// The request that runs `component`, without a credential.
    pub(crate) fn request(
        app: &App,
        component: &Component,
        account: &Account,
        inputs: &Value,
    ) -> Result<OutsideRequest, Error> {
        let base = app.base_url(&account.variables)?;
        if account.origin.as_ref().is_some_and(|own| *own != base.origin().ascii_serialization()) {
            let problem = "the app is somewhere else now: connect the account again";
            return Err(Error::ConnectionUnusable(problem.to_owned()));
        }
        Ok(component.request(app, &base, inputs)?)
    }

    /// Makes a call with an account and gives the app's answer, after as many attempts as are safe
    /// and as there is time for. Keeps nothing: the same call may be made again, for example with
    /// an account whose token was refreshed after a 401.
    pub(crate) async fn exchange(
        &self,
        call: &Call<'_>,
        account: &Account,
    ) -> Result<Answer, Error> {
        let OutsideRequest { method, url, headers, body } = call.request.clone();
        let mut headers = headers;
        let body = body.map_or_else(Bytes::new, |(media_type, body)| {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
            body.into()
        });
        let request = Request { method, url, headers, body, timeout: Duration::ZERO };
        let entropy = Arc::clone(&self.entropy);
        let mut pauses = Backoff::new(retry::SHORTEST_PAUSE, retry::LONGEST_PAUSE, entropy);
        let mut outcome = self.attempt(call, request.clone(), account).await;
        for attempt in 1..retry::ATTEMPTS {
            let pause = match retry::again(&request.method, &outcome) {
                Some(Again::Soon) => pauses.pause(),
                Some(Again::After(pause)) => pause,
                None => break,
            };
            if pause >= call.ends.since(self.clock.tick()) {
                break;
            }
            tracing::debug!(attempt, ?pause, "the outside call is made again");
            tokio::time::sleep(pause).await;
            match self.attempt(call, request.clone(), account).await {
                // There is no room for another attempt: what the app said stands.
                Err(Error::ConnectionBusy | Error::ConnectionRateLimited(_)) => break,
                next => outcome = next,
            }
        }
        outcome
    }

    /// Sends a request once and reads the whole answer.
    async fn attempt(
        &self,
        call: &Call<'_>,
        request: Request,
        account: &Account,
    ) -> Result<Answer, Error> {
        let _place = match account.connection {
            Some(id) => Some(self.limiter.enter(id, call.limits, call.ends).await?),
            None => None,
        };
        let timeout = call.ends.since(self.clock.tick());
        if timeout.is_zero() {
            return Err(keystile_egress::Error::ConnectTimeout.into());
        }
        (call.admit)()?;
        let response = self.egress.send(Request { timeout, ..request }, &account.injected).await?;
        let is_json = is_json(&response.headers);
        let headers = headers::kept(&response.headers);
        let retry_after = headers::retry_after(&response.headers, self.clock.now());
        let body = response.body.bytes_limited(self.config.largest_answer_bytes).await?;
        let outputs = outputs(&body, is_json);
        // As a JSON string a text can be six times as long.
        if outputs.len() > MOST_ANSWER_BYTES {
            return Err(
                keystile_egress::Error::ResponseTooLarge { limit: MOST_ANSWER_BYTES }.into()
            );
        }
        Ok(Answer { status: response.status, headers, retry_after, outputs })
    }
}

/// `application/json`, or a media type with the suffix `+json` (RFC 6839).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn outputs(body: &[u8], is_json: bool) -> Vec<u8> {
    if body.is_empty() {
        return b"null".to_vec();
    }
    // Passed on byte for byte, so that no number loses digits; the check bounds the depth, too.
    if is_json && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return body.to_vec();
    }
    Value::from(String::from_utf8_lossy(body)).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_json_whatever_it_was() {
        assert_eq!(outputs(b"", true), b"null");
        assert_eq!(outputs(b"{\"a\": 1e999}", true), b"{\"a\": 1e999}");
        assert_eq!(outputs(b"{\"a\"", true), br#""{\"a\"""#);
        assert_eq!(outputs(b"17", false), br#""17""#);
        assert_eq!(outputs(b"\xff", false), "\"\u{fffd}\"".as_bytes());
    }

    #[test]
    fn media_types_are_read_as_their_standard_says() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/plain", false),
            ("application/jsonlines", false),
        ] {
            let headers = [(CONTENT_TYPE, text.parse().expect("a value"))].into_iter().collect();
            assert_eq!(is_json(&headers), expected, "{text}");
        }
    }
}
