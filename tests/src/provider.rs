//! Authorization servers that Keystile's authors did not write, each with an API that demands its
//! tokens.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use reqwest::Url;
use serde_json::{Value, json};

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Oidc,
    Authlib,
}

/// A server that was started.
pub struct Provider {
    kind: Kind,
    child: Child,
    base: Url,
    http: reqwest::Client,
}

/// A client that a provider knows.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// `client_secret`
    pub secret: String,
    /// Where its redirect URI is set, and what that demands.
    manage: (Url, String),
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/oauth"))
}

/// Where `tests/run` puts what it installs of npm and `PyPI`.
fn packages(name: &str) -> PathBuf {
    let path = root().join("../../target/test-packages").join(name);
    assert!(path.is_dir(), "{name} is not installed: tests/run does that");
    path.canonicalize().expect("a path")
}

impl Provider {
    /// npm's `oidc-provider`; access tokens are good for so many seconds.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn oidc(ttl_seconds: u32) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("oidc-provider/server.mjs"));
        command.env("PACKAGES", packages("oidc-provider"));
        Self::start(Kind::Oidc, command, ttl_seconds)
    }

    /// `PyPI`'s `Authlib`.
    ///
    /// # Panics
    /// As [`Provider::oidc`].
    #[must_use]
    pub fn authlib(ttl_seconds: u32) -> Self {
        let mut command = Command::new(packages("authlib").join("bin/python"));
        command.arg(root().join("authlib/server.py"));
        Self::start(Kind::Authlib, command, ttl_seconds)
    }

    fn start(kind: Kind, mut command: Command, ttl_seconds: u32) -> Self {
        command.env("ACCESS_TOKEN_TTL", ttl_seconds.to_string());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts: tests/run installs what it needs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = out.lines().map_while(Result::ok);
        let base = said.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let base = base.expect("it says where it listens");
        // What it says later is taken, or it would end with its pipe.
        std::thread::spawn(move || said.for_each(drop));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { kind, child, base: base.parse().expect("a URL"), http }
    }

    /// Where it listens, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `127.0.0.1:…`
    #[must_use]
    pub fn address(&self) -> String {
        self.base.authority().to_owned()
    }

    /// An app's document of its API. It names where the server describes itself.
    #[must_use]
    pub fn document(&self) -> String {
        let url = self.url();
        let (scopes, scheme) = match self.kind {
            Kind::Oidc => (
                "openid, offline_access, notes.read",
                format!(
                    "type: openIdConnect
      openIdConnectUrl: '{url}/.well-known/openid-configuration'
      x-keystile-oauth: {{ authorize: {{ prompt: consent }} }}"
                ),
            ),
            Kind::Authlib => (
                "read",
                format!(
                    "type: oauth2
      x-keystile-oauth: {{ issuer: '{url}' }}
      flows:
        authorizationCode:
          authorizationUrl: '{url}/authorize'
          tokenUrl: '{url}/token'
          scopes: {{ read: Read }}"
                ),
            ),
        };
        format!(
            "openapi: 3.1.0
info: {{ title: Provider, version: '1' }}
servers: [{{ url: '{url}/api' }}]
security: [{{ oauth: [{scopes}] }}]
paths:
  /me: {{ get: {{ operationId: me, responses: {{ '200': {{ description: ok }} }} }} }}
components:
  securitySchemes:
    oauth:
      {scheme}
"
        )
    }

    /// Registers a client (RFC 7591 where it has that).
    ///
    /// # Panics
    /// If it is refused.
    pub async fn register(&self) -> Client {
        let body = json!({
            "client_name": "Keystile",
            "redirect_uris": ["http://127.0.0.1:9/not-known-yet"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        });
        let path = if self.kind == Kind::Oidc { "reg" } else { "admin/clients" };
        let at = self.base.join(path).expect("a path");
        let answer = self.http.post(at).json(&body).send().await.expect("an answer");
        let made: Value = answer.json().await.expect("JSON");
        let text = |name: &str| made[name].as_str().expect(name).to_owned();
        let id = text("client_id");
        let manage = match self.kind {
            Kind::Oidc => {
                let url = text("registration_client_uri").parse().expect("a URL");
                (url, text("registration_access_token"))
            }
            Kind::Authlib => {
                let url = self.base.join(&format!("admin/clients/{id}")).expect("a path");
                (url, String::new())
            }
        };
        Client { id, secret: text("client_secret"), manage }
    }

    /// Registers where the browser may be sent back to (RFC 7592 where it has that).
    ///
    /// # Panics
    /// If it is refused.
    pub async fn allow_callback(&self, client: &Client, callback: &str) {
        let (url, token) = &client.manage;
        let body = json!({
            "client_id": client.id,
            "client_secret": client.secret,
            "client_name": "Keystile",
            "redirect_uris": [callback],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        });
        let request = self.http.put(url.clone()).bearer_auth(token).json(&body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap_or_default());
    }

    async fn admin(&self, path: &str) -> Value {
        let at = self.base.join(path).expect("a path");
        self.http.get(at).send().await.expect("an answer").json().await.expect("JSON")
    }

    /// The person withdraws everything that was granted.
    pub async fn revoke_all(&self) {
        self.admin("admin/revoke").await;
    }

    /// From now on its API refuses every access token that there is.
    pub async fn end_access_tokens(&self) {
        self.admin("admin/end-access-tokens").await;
    }

    /// The statuses that its token endpoint answered with, and how many requests it had at once.
    ///
    /// # Panics
    /// If it does not say.
    pub async fn exchanges(&self) -> (Vec<u64>, u64) {
        let told = self.admin("admin/state").await;
        let statuses = told["exchanges"].as_array().expect("a list");
        let statuses = statuses.iter().map(|status| status.as_u64().expect("a status"));
        (statuses.collect(), told["mostAtOnce"].as_u64().expect("a number"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
