//! Parameters of queries and forms, read as RFC 6749 §3.1 and §3.2 say.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
};
use http::header;
use url::form_urlencoded;

use super::{
    Answer,
    error::{Code, Error},
};

/// The largest form in bytes.
const MAX_FORM: usize = 16 * 1024;

pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A parameter; without a value it counts as absent.
    ///
    /// # Errors
    /// It occurs more than once. Others, which nobody asks for, may.
    pub(super) fn get(&self, name: &str) -> Answer<Option<&str>> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = values.next().map(String::as_str).filter(|value| !value.is_empty());
        if values.next().is_some() {
            return Err(Error::new(Code::InvalidRequest, "a parameter occurs more than once"));
        }
        Ok(first)
    }

    /// A parameter that must be there; `missing` says so.
    pub(super) fn required(&self, name: &str, missing: &'static str) -> Answer<&str> {
        self.get(name)?.ok_or(Error::new(Code::InvalidRequest, missing))
    }
}

/// A body of `application/x-www-form-urlencoded`, at most [`MAX_FORM`] long.
impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Answer<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let wanted = "the body must be of application/x-www-form-urlencoded";
            return Err(Error::new(Code::InvalidRequest, wanted));
        }
        let body = to_bytes(request.into_body(), MAX_FORM).await.map_err(|_| {
            Error::new(Code::InvalidRequest, "the body is incomplete or larger than 16 KiB")
        })?;
        Ok(Self::parse(&body))
    }
}
