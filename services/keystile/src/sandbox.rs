//! The sandbox: a small notes API behind OAuth 2.0, so that keys, grants and connections can be
//! tried without an account anywhere else. What the API does stands in its document,
//! `sandbox.yaml` of the catalog; its authorization server is `sandbox/oauth.rs`.
//!
//! There is no sign-up: an account is there once it is named. A plain token
//! `sandbox_<account>_<16 or more characters>` opens it, too. Everything lives in memory, bounded,
//! and the oldest makes room: at most [`MAX_NOTES`] an account and [`MAX_ACCOUNTS`] accounts.

mod api;
mod bearer;
mod bounded;
mod notes;
mod oauth;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, routing::get};
use http::header;
use keystile_catalog::Catalog;
use keystile_domain::{Clock, Entropy};
use keystile_egress::{Allow, HostPort};
use keystile_runtime::{
    Drain, Problem, SystemClock, SystemEntropy,
    health::{self, Readiness},
    http::{Limits, harden, local, serve as serve_http},
    lifecycle::{GRACE, Signals},
};
use tokio::net::TcpListener;
use url::{Host, Url};

use crate::{Settings, wire};
use notes::Accounts;
pub use notes::{MAX_ACCOUNTS, MAX_NOTES};
pub use oauth::{Client, MAX_CLIENTS};
use oauth::{Clients, Ledger};

type Answer<T> = Result<T, Problem>;

/// What a sandbox is made of.
#[derive(Clone)]
pub struct Options {
    /// How long an access token of its authorization server works.
    pub access_token_ttl: Duration,
    /// Decides when codes and access tokens end.
    pub clock: Arc<dyn Clock>,
    /// Draws ids, codes, secrets and tokens.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Options {
    /// Ten minutes, on the machine's clock and randomness.
    fn default() -> Self {
        Self {
            access_token_ttl: Duration::from_mins(10),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// A sandbox and what it remembers. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    base: Url,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    accounts: Mutex<Accounts>,
    clients: Mutex<Clients>,
    ledger: Mutex<Ledger>,
}

impl Server {
    /// An empty sandbox that lives at `base`, which has no path.
    #[must_use]
    pub fn new(base: &Url, options: Options) -> Self {
        let Options { access_token_ttl, clock, entropy } = options;
        let ledger = Ledger::new(access_token_ttl, Arc::clone(&clock), Arc::clone(&entropy));
        Self(Arc::new(Inner {
            base: base.clone(),
            clock,
            entropy,
            accounts: Mutex::default(),
            clients: Mutex::default(),
            ledger: Mutex::new(ledger),
        }))
    }

    /// Registers a client whose id and secret the caller chose, in place of an earlier one with
    /// this id. It never makes room for others.
    ///
    /// # Errors
    /// The id is no account's name, or a redirect URI would be refused at `/oauth/register`, too.
    pub fn add_client(&self, client: Client) -> anyhow::Result<()> {
        self.clients().add(client)
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        let document = Catalog::sandbox_document(&self.0.base);
        let document = get(|| async { ([(header::CONTENT_TYPE, "application/yaml")], document) });
        let router = api::routes().merge(oauth::routes()).route("/openapi.yaml", document);
        harden(router.with_state(self.clone()), &Limits::default())
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    let server = Server::new(&base(&url)?, Options::default());
    drain.spawn(serve(listener, server.router(), drain.clone()));
    drain.spawn(serve_http(probes, health, drain.clone(), Limits::default()));
    tracing::info!(%at, "listening");
    drain.run_until(&mut signals, GRACE).await;
    Ok(())
}

/// Serves the sandbox until `drain` begins.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain) {
    serve_http(listener, router, drain, Limits::default()).await;
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
