//! JSON over HTTP, with everything that was answered kept for a later search.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode, Url, header::HeaderMap};
use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub text: String,
    /// Its body as JSON; null if it is none.
    pub json: Value,
}

impl Reply {
    /// The stable code of a problem document; empty if it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// This reply, if its status is `expected`.
    ///
    /// # Panics
    /// Otherwise, showing the body.
    #[must_use]
    #[track_caller]
    pub fn expect(self, expected: u16) -> Self {
        assert_eq!(self.status.as_u16(), expected, "{}", self.text);
        self
    }

    /// This reply, if it is a problem document with that status and code.
    ///
    /// # Panics
    /// Otherwise, showing the body.
    #[must_use]
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let kind = self.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        assert_eq!(
            (self.status.as_u16(), self.code(), kind),
            (status, code, Some("application/problem+json")),
            "{}",
            self.text
        );
        self
    }
}

/// One server as one caller.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    base: Url,
    token: Option<String>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Api {
    pub(crate) fn new(base: Url, seen: Arc<Mutex<Vec<String>>>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { client, base, token: None, seen }
    }

    /// The same server with `token` as the bearer.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Where the server listens.
    #[must_use]
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Sends a request; `body` is sent as JSON.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply> {
        let mut request = self.client.request(method, self.base.join(path)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.context("no answer")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.context("no body")?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(format!("{headers:?} {text}"));
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, text, json })
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        self.try_send(method, path, &[], body).await.expect("an answer")
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }
}
