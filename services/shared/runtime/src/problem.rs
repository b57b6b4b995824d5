//! Errors over HTTP: RFC 9457 problem documents, and the one table [`ErrorKind`] → HTTP status.

pub mod document;

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use keystile_contract::Failure;
use keystile_domain::ErrorKind;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::RequestId;

/// The media type of RFC 9457.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The challenge of every 401, RFC 6750.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"keystile\"");

/// Members that an extension may not replace.
const OWN_MEMBERS: [&str; 6] = ["type", "title", "status", "code", "detail", "requestId"];

/// The HTTP status of a kind.
#[must_use]
pub const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        // A stale position that reaches the edge was retried in vain: later it can succeed.
        ErrorKind::Stale | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// One bad member of a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong and what would be right. Never repeats the value.
    pub detail: String,
}

/// A problem document. As a response it is never cached, and a 401 carries a challenge.
///
/// One pointer wide, because it is the error of nearly every handler.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    headers: HeaderMap,
    request_id: Option<RequestId>,
}

impl Problem {
    /// A problem with a stable snake-case `code` and one sentence for a person.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            members: Map::new(),
            headers: HeaderMap::new(),
            request_id: None,
        }))
    }

    /// A defect: 500, with nothing of the cause, which belongs in the log.
    #[must_use]
    pub fn internal() -> Self {
        Failure::internal().into()
    }

    /// A body that was read but is wrong in these places: 422.
    #[must_use]
    pub fn faults(faults: &[Fault]) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
            "the request has invalid members",
        )
        .with("errors", json!(faults))
    }

    /// Adds an extension member. The members that every problem has stay as they are.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        if !OWN_MEMBERS.contains(&name.as_str()) {
            self.0.members.insert(name, value.into());
        }
        self
    }

    /// Adds a header, for example `RateLimit`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says when a retry can help, in whole seconds rounded up.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, seconds.into())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Names the request that failed. [`crate::http::harden`] does so for every problem.
    #[must_use]
    pub fn for_request(mut self, id: RequestId) -> Self {
        self.0.request_id = Some(id);
        self
    }

    fn document(&self) -> Value {
        let mut document = json!({
            "type": "about:blank",
            "title": self.0.status.canonical_reason().unwrap_or("Error"),
            "status": self.0.status.as_u16(),
            "code": self.0.code,
            "detail": self.0.detail,
        });
        if let Value::Object(members) = &mut document {
            if let Some(id) = &self.0.request_id {
                members.insert("requestId".to_owned(), id.as_str().into());
            }
            members.extend(self.0.members.clone());
        }
        document
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document().to_string()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        headers.extend(self.0.headers.clone());
        // Kept beside its own text, so that the outermost layer can add the request id.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = status(failure.kind);
        let mut problem = Self::new(status, failure.reason, failure.message);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem = problem.retry_after(Duration::from_secs(1));
        }
        for (name, value) in failure.facts {
            problem = problem.with(camel(&name), value);
        }
        if failure.faults.is_empty() {
            return problem;
        }
        let faults = failure
            .faults
            .into_iter()
            .map(|fault| Fault { pointer: pointer(&fault.field), detail: fault.message });
        problem.with("errors", json!(faults.collect::<Vec<_>>()))
    }
}

/// A field path of a message (`grants[0].app_key`) as the JSON pointer of the same field
/// (`/grants/0/appKey`). What is a pointer already stays.
fn pointer(field: &str) -> String {
    if field.is_empty() || field.starts_with('/') {
        return field.to_owned();
    }
    let segments = field.split(['.', '[']).map(|segment| camel(segment.trim_end_matches(']')));
    segments.fold(String::new(), |pointer, segment| pointer + "/" + &segment)
}

/// A snake-case name as the camel case of the REST API.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|letter| letter.to_ascii_uppercase());
        text + &head.into_iter().chain(letters).collect::<String>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_an_error_status() {
        for kind in ErrorKind::ALL {
            let status = status(kind);
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn a_failure_becomes_a_document_with_pointers_and_facts() {
        let failure = Failure::invalid("grants[0].app_key", "is unknown").with("key_id", "key_1");
        let document = Problem::from(failure).document();
        assert_eq!(
            document,
            json!({
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "code": "invalid_argument",
                "detail": "grants[0].app_key: is unknown",
                "keyId": "key_1",
                "errors": [{"pointer": "/grants/0/appKey", "detail": "is unknown"}],
            })
        );
    }

    #[test]
    fn an_extension_cannot_replace_what_every_problem_says() {
        let problem = Problem::internal().with("status", 200).with("code", "fine");
        assert_eq!(problem.document()["status"], 500);
        assert_eq!(problem.document()["code"], "internal");
    }

    #[test]
    fn a_401_carries_a_challenge_and_is_not_cached() {
        let response = Problem::new(StatusCode::UNAUTHORIZED, "invalid", "no").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], CHALLENGE);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
