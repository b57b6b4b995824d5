//! An app and its authorization server on loopback: strict, rotating, and out of order on demand.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use url::{Url, form_urlencoded};

/// How the next request to the token endpoint is treated; without any, by the rules.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This status, and nothing is done.
    Status(u16),
    /// It is done by the rules, and the answer is never sent.
    LoseAnswer,
    /// It is done by the rules, and the answer waits for that.
    Hold(Arc<Notify>),
    /// It is done by the rules, and the answer is this text.
    Answer(&'static str),
}

#[derive(Default)]
struct Ledger {
    next: u64,
    codes: BTreeMap<String, Code>,
    /// Refresh tokens that are good.
    refresh: BTreeMap<String, String>,
    /// Refresh tokens that were used: whoever sends one has stolen it.
    used: BTreeMap<String, String>,
    access: BTreeSet<String>,
    granted: Option<String>,
    expires_in: u64,
    trouble: VecDeque<Trouble>,
    exchanges: Vec<Exchange>,
    running: usize,
    most_at_once: usize,
}

struct Code {
    redirect_uri: String,
    challenge: String,
    scope: String,
}

/// A request to the token endpoint, as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// `grant_type`
    pub grant_type: String,
    /// `error`, or empty.
    pub error: String,
}

#[derive(Clone)]
struct Shared {
    ledger: Arc<Mutex<Ledger>>,
    url: String,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A real HTTP server. `POST /token` demands the client [`Provider::CLIENT`] and a PKCE verifier,
/// rotates refresh tokens and, when one comes a second time, revokes what it was for. `/api/…`
/// demands an access token and answers with what it was sent.
pub struct Provider {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Provider {
    /// Its one client.
    pub const CLIENT: (&'static str, &'static str) = ("keystile:test", "s3cret/of+the client");
    /// What each of its tokens contains.
    pub const CANARY: &'static str = "canary-5d1e90b7";

    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let ledger = Ledger { expires_in: 3600, ..Ledger::default() };
        let shared =
            Shared { ledger: Arc::new(Mutex::new(ledger)), url: format!("http://{address}") };
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/token", post(token))
            .route("/api/{*path}", any(api))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, server }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// An app's document of it, with the scopes `read` and `write`. It names its issuer.
    #[must_use]
    pub fn document(&self) -> String {
        let url = &self.shared.url;
        format!(
            "openapi: 3.1.0
info: {{ title: Provider, version: '1' }}
servers: [{{ url: '{url}/api' }}]
security: [{{ oauth: [read] }}]
paths:
  /me: {{ get: {{ operationId: me, responses: {{ '200': {{ description: ok }} }} }} }}
  /notes:
    post:
      operationId: write
      security: [{{ oauth: [write] }}]
      responses: {{ '200': {{ description: ok }} }}
components:
  securitySchemes:
    oauth:
      type: oauth2
      x-keystile-oauth: {{ issuer: '{url}', authorize: {{ access_type: offline }} }}
      flows:
        authorizationCode:
          authorizationUrl: '{url}/authorize'
          tokenUrl: '{url}/token'
          scopes: {{ read: Read notes, write: Write notes }}
        clientCredentials:
          tokenUrl: '{url}/token'
          scopes: {{ read: Read notes, write: Write notes }}
"
        )
    }

    /// A person consents: the address that the browser is sent back to.
    ///
    /// # Panics
    /// If the authorization request is not one.
    #[must_use]
    pub fn consent(&self, authorization_url: &str) -> Url {
        let asked = Url::parse(authorization_url).expect("an authorization URL");
        let asked: BTreeMap<String, String> = asked.query_pairs().into_owned().collect();
        assert_eq!(asked["client_id"], Self::CLIENT.0);
        assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
        assert_eq!(asked["access_type"], "offline", "what the document adds");
        let mut ledger = self.shared.ledger();
        ledger.next += 1;
        let code = format!("code-{}-{}", ledger.next, Self::CANARY);
        let entry = Code {
            redirect_uri: asked["redirect_uri"].clone(),
            challenge: asked["code_challenge"].clone(),
            scope: asked.get("scope").cloned().unwrap_or_default(),
        };
        ledger.codes.insert(code.clone(), entry);
        let mut back = Url::parse(&asked["redirect_uri"]).expect("a redirect URI");
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &asked["state"])
            .append_pair("iss", &self.shared.url);
        back
    }

    /// The person's answer is another scope than the one that was asked for.
    pub fn grant_only(&self, scope: &str) {
        self.shared.ledger().granted = Some(scope.to_owned());
    }

    /// How many seconds access tokens are good for, as it says from now on.
    pub fn set_expires_in(&self, seconds: u64) {
        self.shared.ledger().expires_in = seconds;
    }

    /// Treats the next request to the token endpoint in that way.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared.ledger().trouble.push_back(trouble);
    }

    /// From now on the app refuses every access token that there is.
    pub fn end_access_tokens(&self) {
        self.shared.ledger().access.clear();
    }

    /// The person withdraws everything.
    pub fn revoke_all(&self) {
        let mut ledger = self.shared.ledger();
        ledger.access.clear();
        ledger.refresh.clear();
    }

    /// The requests that the token endpoint took, in order.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.ledger().exchanges.clone()
    }

    /// How many it had at one time.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.shared.ledger().most_at_once
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn metadata(State(shared): State<Shared>) -> Json<Value> {
    let url = &shared.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

/// The client of `Authorization: Basic`, decoded as RFC 6749 section 2.3.1 has it.
fn client(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let form = format!("x={text}");
        form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

/// Counts one exchange for as long as it runs.
struct Running(Shared);

impl Running {
    fn start(shared: &Shared) -> Self {
        let mut ledger = shared.ledger();
        ledger.running += 1;
        ledger.most_at_once = ledger.most_at_once.max(ledger.running);
        Self(shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ledger().running -= 1;
    }
}

async fn token(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let _running = Running::start(&shared);
    let form: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let (trouble, answer) = {
        let mut ledger = shared.ledger();
        let trouble = ledger.trouble.pop_front();
        if let Some(Trouble::Status(status)) = trouble {
            return StatusCode::from_u16(status).expect("a status").into_response();
        }
        let known = client(&headers)
            .is_some_and(|(id, secret)| (id.as_str(), secret.as_str()) == Provider::CLIENT);
        let answer = if known { ledger.exchange(&form) } else { Err("invalid_client") };
        let error = answer.as_ref().err().copied().unwrap_or_default().to_owned();
        let grant_type = form.get("grant_type").cloned().unwrap_or_default();
        ledger.exchanges.push(Exchange { grant_type, error });
        (trouble, answer)
    };
    match trouble {
        Some(Trouble::LoseAnswer) => std::future::pending::<()>().await,
        Some(Trouble::Hold(until)) => until.notified().await,
        Some(Trouble::Answer(text)) => return text.into_response(),
        Some(Trouble::Status(_)) | None => {}
    }
    match answer {
        Ok(issued) => Json(issued).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

impl Ledger {
    fn exchange(&mut self, form: &BTreeMap<String, String>) -> Result<Value, &'static str> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match of("grant_type") {
            "authorization_code" => {
                let code = self.codes.remove(of("code")).ok_or("invalid_grant")?;
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of("code_verifier")));
                if challenge != code.challenge || of("redirect_uri") != code.redirect_uri {
                    return Err("invalid_grant");
                }
                let scope = self.granted.clone().unwrap_or(code.scope);
                Ok(self.issue(&scope, true))
            }
            "refresh_token" => {
                if self.used.contains_key(of("refresh_token")) {
                    // RFC 9700 section 4.14.2.
                    self.refresh.clear();
                    self.access.clear();
                    return Err("invalid_grant");
                }
                let scope = self.refresh.remove(of("refresh_token")).ok_or("invalid_grant")?;
                self.used.insert(of("refresh_token").to_owned(), scope.clone());
                Ok(self.issue(&scope, true))
            }
            "client_credentials" => Ok(self.issue(of("scope"), false)),
            _ => Err("unsupported_grant_type"),
        }
    }

    fn issue(&mut self, scope: &str, refreshable: bool) -> Value {
        self.next += 1;
        let (number, canary) = (self.next, Provider::CANARY);
        let access = format!("access-{number}-{canary}");
        self.access.insert(access.clone());
        let mut issued = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": scope,
        });
        if refreshable {
            let refresh = format!("refresh-{number}-{canary}");
            self.refresh.insert(refresh.clone(), scope.to_owned());
            issued["refresh_token"] = refresh.into();
        }
        issued
    }
}

async fn api(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !shared.ledger().access.contains(token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body = String::from_utf8_lossy(&body);
    Json(json!({ "authorization": bearer, "body": body })).into_response()
}
