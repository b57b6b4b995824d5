//! The sandbox: a small notes API, so that keys, grants and connections can be tried without an
//! account anywhere else. What it does stands in its document, `sandbox.yaml` of the catalog.
//!
//! A token `sandbox_<account>_<16 or more characters>` opens the account that it names; there is no
//! sign-up. Notes live in memory, at most [`MAX_NOTES`] an account and [`MAX_ACCOUNTS`] accounts:
//! the oldest make room.

mod notes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{
        FromRequestParts, Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::IntoResponse,
    routing::{get, post},
};
use http::{StatusCode, header, request::Parts};
use keystile_catalog::Catalog;
use keystile_domain::{Clock as _, base62, entropy};
use keystile_egress::{Allow, HostPort};
use keystile_runtime::{
    Drain, Problem, SystemClock, SystemEntropy,
    health::{self, Readiness},
    http::{Limits, StrictJson, harden, local, serve as serve_http},
    lifecycle::{GRACE, Signals},
    problem::Fault,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use url::{Host, Url};

use crate::{Settings, wire};
use notes::{Accounts, Note};
pub use notes::{MAX_ACCOUNTS, MAX_NOTES};

const MAX_TITLE: usize = 200;
const MAX_TEXT: usize = 10_000;
const MAX_TAG: usize = 40;
const MAX_TAGS: usize = 10;
const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 100;

type Answer<T> = Result<T, Problem>;

#[derive(Clone, Default)]
struct Sandbox(Arc<Mutex<Accounts>>);

impl Sandbox {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the sandbox that lives at `base`.
pub fn router(base: &Url) -> Router {
    let document = Catalog::sandbox_document(base);
    let router = Router::new()
        .route("/notes", get(list_notes).post(create_note))
        .route("/notes/{noteId}", get(get_note).delete(delete_note))
        .route("/echo", post(echo))
        .route("/me", get(who_am_i))
        .route(
            "/openapi.yaml",
            get(|| async { ([(header::CONTENT_TYPE, "application/yaml")], document) }),
        )
        .with_state(Sandbox::default());
    harden(router, &Limits::default())
}

/// The port of a sandbox that is a process of its own.
const PORT: u16 = 8094;

/// Where `sandbox.url` says that the sandbox is.
pub(crate) fn base(url: &str) -> anyhow::Result<Url> {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.path() == "/");
    parsed.context("sandbox.url must be http://host:port")
}

/// Lets egress dial the sandbox at `base`, and nothing else there.
pub(crate) fn allow(base: &Url, allow: &mut Allow) -> anyhow::Result<()> {
    let (host, port) = (base.host(), base.port_or_known_default());
    let (host, port) = host.zip(port).context("sandbox.url has no host")?;
    match host {
        Host::Domain(name) => allow.hosts.push(HostPort::try_from(format!("{name}:{port}"))?),
        Host::Ipv4(address) => allow.sockets.push((address, port).into()),
        Host::Ipv6(address) => allow.sockets.push((address, port).into()),
    }
    Ok(())
}

/// `keystile sandbox`: serves the sandbox, and its probes, until Ctrl-C or SIGTERM.
///
/// # Errors
/// A port is in use, or `sandbox.url` is no URL.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut at = settings.sandbox.listen;
    if at.port() == 0 {
        at.set_port(PORT);
    }
    let listener = wire::bind("sandbox", at).await?;
    let probes = wire::bind("telemetry", settings.telemetry.listen).await?;
    let url = settings.sandbox.url.clone().unwrap_or_else(|| format!("http://{}", local(at)));
    let drain = Drain::new();
    let health = harden(health::router(Readiness::new(drain.stopping())), &Limits::default());
    drain.spawn(serve(listener, router(&base(&url)?), drain.clone()));
    drain.spawn(serve_http(probes, health, drain.clone(), Limits::default()));
    tracing::info!(%at, "listening");
    drain.run_until(&mut signals, GRACE).await;
    Ok(())
}

/// Serves the sandbox until `drain` begins.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain) {
    serve_http(listener, router, drain, Limits::default()).await;
}

/// The account that a request's token opens.
struct Account(String);

impl Account {
    fn of(token: &str) -> Option<Self> {
        let (account, secret) = token.strip_prefix("sandbox_")?.split_once('_')?;
        let plain = |text: &str, extra: u8| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == extra)
        };
        let named = (1..=32).contains(&account.len()) && plain(account, b'-');
        let secret = (16..=128).contains(&secret.len()) && plain(secret, b'_');
        (named && secret).then(|| Self(account.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.strip_prefix("Bearer "));
        token.and_then(Self::of).ok_or_else(|| {
            let detail = "the sandbox wants Authorization: Bearer sandbox_<account>_<secret>";
            Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListNotes {
    limit: Option<usize>,
    tag: Option<String>,
}

#[derive(Serialize)]
struct Notes {
    notes: Vec<Note>,
}

async fn list_notes(
    State(sandbox): State<Sandbox>,
    account: Account,
    query: Result<Query<ListNotes>, QueryRejection>,
) -> Answer<Json<Notes>> {
    let Ok(Query(query)) = query else { return Err(bad_query("limit and tag only")) };
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad_query("limit must be from 1 to 100"));
    }
    if query.tag.as_ref().is_some_and(|tag| !length(tag, 1, MAX_TAG)) {
        return Err(bad_query("tag must have 1 to 40 characters"));
    }
    let notes = sandbox.accounts().newest(&account.0, query.tag.as_deref(), limit);
    Ok(Json(Notes { notes }))
}

fn bad_query(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    title: String,
    body: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl NewNote {
    fn check(&self) -> Answer<()> {
        let mut faults = Vec::new();
        let mut fault = |pointer: String, detail: &str| {
            faults.push(Fault { pointer, detail: detail.to_owned() });
        };
        if !length(&self.title, 1, MAX_TITLE) {
            fault("/title".to_owned(), "must have 1 to 200 characters");
        }
        if self.body.as_ref().is_some_and(|body| !length(body, 0, MAX_TEXT)) {
            fault("/body".to_owned(), "must have at most 10000 characters");
        }
        if self.tags.len() > MAX_TAGS {
            fault("/tags".to_owned(), "must have at most 10 items");
        }
        for (at, tag) in self.tags.iter().enumerate().take(MAX_TAGS) {
            if !length(tag, 1, MAX_TAG) {
                fault(format!("/tags/{at}"), "must have 1 to 40 characters");
            } else if self.tags[..at].contains(tag) {
                fault(format!("/tags/{at}"), "must not repeat");
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::faults(&faults)) }
    }
}

/// JSON Schema counts characters.
fn length(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count())
}

async fn create_note(
    State(sandbox): State<Sandbox>,
    account: Account,
    StrictJson(new): StrictJson<NewNote>,
) -> Answer<impl IntoResponse> {
    new.check()?;
    let digits = base62::encode::<8, 11>(&entropy::bytes(&SystemEntropy));
    let note = Note {
        id: "note_".chars().chain(digits.into_iter().map(char::from)).collect(),
        title: new.title,
        body: new.body,
        tags: new.tags,
        created_at: SystemClock.now(),
    };
    sandbox.accounts().add(&account.0, note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}

async fn get_note(
    State(sandbox): State<Sandbox>,
    account: Account,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<Note>> {
    let id = id.map_err(|_| no_such_note())?;
    sandbox.accounts().get(&account.0, &id).map(Json).ok_or_else(no_such_note)
}

async fn delete_note(
    State(sandbox): State<Sandbox>,
    account: Account,
    id: Result<Path<String>, PathRejection>,
) -> Answer<StatusCode> {
    let id = id.map_err(|_| no_such_note())?;
    let removed = sandbox.accounts().remove(&account.0, &id);
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_note()) }
}

fn no_such_note() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such note")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Echoed {
    message: String,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
}

async fn echo(_: Account, StrictJson(echo): StrictJson<Echo>) -> Answer<Json<Echoed>> {
    if !length(&echo.message, 0, MAX_TEXT) {
        let detail = "must have at most 10000 characters".to_owned();
        return Err(Problem::faults(&[Fault { pointer: "/message".to_owned(), detail }]));
    }
    Ok(Json(Echoed { message: echo.message, received_at: SystemClock.now() }))
}

#[derive(Serialize)]
struct Me {
    account: String,
}

async fn who_am_i(account: Account) -> Json<Me> {
    Json(Me { account: account.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn egress_may_dial_the_sandbox_by_name_and_by_either_kind_of_address() {
        let allowed = |url: &str| {
            let mut allowed = Allow::default();
            allow(&base(url).expect("a base"), &mut allowed).expect("a place");
            allowed
        };
        for (url, socket) in [
            ("http://127.0.0.1:8094", "127.0.0.1:8094"),
            ("http://[::1]:8094", "[::1]:8094"),
            ("http://[fd00::1]", "[fd00::1]:80"),
        ] {
            let allowed = allowed(url);
            assert_eq!(allowed.sockets, [socket.parse().expect("a socket")], "{url}");
            assert!(allowed.hosts.is_empty(), "{url}");
        }
        let named = allowed("http://sandbox:8094");
        let host = HostPort::try_from("sandbox:8094".to_owned()).expect("a place");
        assert_eq!((named.hosts, named.sockets), (vec![host], Vec::new()));
    }
}
