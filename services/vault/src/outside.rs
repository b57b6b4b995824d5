//! The outside call: request in, bounded answer out, with the credential opened only here.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use keystile_catalog::{App, Component, OutsideRequest};
use keystile_egress::Request;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    config::MOST_ANSWER_BYTES, connection::Connection, credential::Credential, error::Error,
    store::SealedCredential, vault::Vault,
};

/// What the app answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body as JSON: itself if it is JSON, a string otherwise, `null` if empty.
    pub(crate) outputs: Vec<u8>,
}

/// An opened credential that fits its connection, or none where the app needs none.
pub(crate) struct Account {
    injected: keystile_egress::Credential,
    variables: BTreeMap<String, String>,
}

impl Account {
    /// For an app without accounts.
    pub(crate) const fn none() -> Self {
        Self { injected: keystile_egress::Credential::None, variables: BTreeMap::new() }
    }
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
        let injected = Credential::into_injected(credential);
        Ok(Account { injected: injected.map_err(|_| Error::CorruptCredential)?, variables })
    }

    /// The request that runs `component`, without a credential.
    pub(crate) fn request(
        app: &App,
        component: &Component,
        account: &Account,
        inputs: &Value,
    ) -> Result<OutsideRequest, Error> {
        let base = app.base_url(&account.variables)?;
        Ok(component.request(app, &base, inputs)?)
    }

    /// Sends a request with a credential and reads the whole answer.
    pub(crate) async fn exchange(
        &self,
        request: OutsideRequest,
        account: &Account,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let mut headers = request.headers;
        let body = request.body.map_or_else(Bytes::new, |(media_type, body)| {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
            body.into()
        });
        let request = Request { method: request.method, url: request.url, headers, body, timeout };
        let response = self.egress.send(request, &account.injected).await?;
        let is_json = is_json(&response.headers);
        let body = response.body.bytes_limited(self.config.largest_answer_bytes).await?;
        let outputs = outputs(&body, is_json);
        // As a JSON string a text can be six times as long.
        if outputs.len() > MOST_ANSWER_BYTES {
            return Err(
                keystile_egress::Error::ResponseTooLarge { limit: MOST_ANSWER_BYTES }.into()
            );
        }
        Ok(Answer { status: response.status, outputs })
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
