//! The way to a role of other processes: connections to all of its replicas, kept open.
//!
//! Each replica has one HTTP/2 connection, made again with growing pauses when it is lost, and is
//! asked over it whether it can do its work (`grpc.health.v1`). Calls take in turn those that can, or
//! all if none can. A call that nobody has processed is sent again over another connection: what was
//! never sent, and what RFC 9113 §8.7 says was not processed. Any other failure is UNAVAILABLE, since
//! nobody can tell how far the call came.

mod keeper;
mod replay;

use std::{
    net::SocketAddr,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Uri, uri};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use keystile_contract::{Failure, Transport, deadline, transport};
use keystile_domain::{Clock, Entropy, ErrorKind, Role, Tick};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, body::Body};
use url::Url;

use self::replay::{Replay, Sending};

/// How long after the last connection was lost calls wait for another: a restart may be shorter than
/// this, and who asks is better served by a late answer than by an early refusal. From then on they
/// are refused at once.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// How long a call without a deadline may take until its answer begins.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the replicas of a role are: `https://issuance:8091`, or several as
/// `https://10.0.0.1:8091,10.0.0.2:8091`. A name stands for all of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Vec<(String, u16)>);

/// That is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be https://host:port, or several as https://host:port,host:port")]
pub struct InvalidPeers;

impl std::str::FromStr for Peers {
    type Err = InvalidPeers;

    fn from_str(text: &str) -> Result<Self, InvalidPeers> {
        let places = text.trim().strip_prefix("https://").ok_or(InvalidPeers)?;
        let place = |place: &str| {
            let url = Url::parse(&format!("https://{}", place.trim())).ok()?;
            let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            let bare = bare && url.username().is_empty() && url.password().is_none();
            // A bracketed literal is resolved without its brackets.
            let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
            bare.then_some((host, url.port_or_known_default()?))
        };
        let places: Option<Vec<_>> = places.split(',').map(place).collect();
        places.map(Self).ok_or(InvalidPeers)
    }
}

/// A connection to a replica.
#[derive(Clone)]
struct Line {
    address: SocketAddr,
    sender: SendRequest<Sending>,
    /// Does the replica say that it can do its work?
    serving: bool,
}

/// The connections that are open now, and when the last one was added or taken off.
struct Open {
    lines: Vec<Line>,
    changed_at: Tick,
}

impl Open {
    fn usable(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.sender.is_closed())
    }
}

/// The way that calls take.
struct Lines {
    clock: Arc<dyn Clock>,
    open: watch::Receiver<Open>,
    next: AtomicUsize,
    role: Role,
    /// Ends the keepers with the last clone of the transport.
    _kept: DropGuard,
}

/// A transport to `role` at `peers`, as whoever `tls` makes this process. Connections are made in
/// the background, from now until the last clone is dropped; nothing is awaited.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn peer(
    role: Role,
    peers: Peers,
    tls: Arc<ClientConfig>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Transport {
    let stop = CancellationToken::new();
    let (opened, open) = watch::channel(Open { lines: Vec::new(), changed_at: clock.tick() });
    let keeping = keeper::keep(role, peers.0, tls, Arc::clone(&clock), entropy, opened);
    tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
    let lines =
        Arc::new(Lines { clock, open, next: AtomicUsize::new(0), role, _kept: stop.drop_guard() });
    transport::remote(tower::service_fn(move |request| {
        let lines = Arc::clone(&lines);
        async move { Ok::<_, std::convert::Infallible>(lines.call(request).await) }
    }))
}

impl Lines {
    async fn call(&self, request: Request<Body>) -> Response<Body> {
        let within = deadline::asked(request.headers()).unwrap_or(DEFAULT_TIMEOUT);
        match tokio::time::timeout(within, self.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => Status::from(failure).into_http(),
            Err(_) => Status::from(Failure::deadline_exceeded()).into_http(),
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let (parts, body) = addressed(request, self.role)?.into_parts();
        let body = Replay::new(body);
        loop {
            let sending = body.send().ok_or_else(|| self.unavailable())?;
            let mut line = self.line().await?;
            let request = Request::from_parts(parts.clone(), sending);
            let mut failed = match line.sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(received)),
                Err(failed) => failed,
            };
            let unsent = failed.take_message().is_some();
            let error = failed.into_error();
            if !unsent && !unprocessed(&error) {
                let address = line.address;
                tracing::debug!(role = %self.role, %address, %error, "a call was lost");
                return Err(self.unavailable());
            }
            // That connection is over. Its keeper takes it off the list, or has already.
            tokio::task::yield_now().await;
        }
    }

    /// The next connection in turn, waited for a little if there is none.
    async fn line(&self) -> Result<Line, Failure> {
        // Waiting needs a receiver of its own; hardly any call waits.
        if let Some(line) = self.choose(&self.open.borrow()) {
            return Ok(line);
        }
        let mut open = self.open.clone();
        let patience = (open.borrow().changed_at + CONNECT_WAIT).since(self.clock.tick());
        let some = open.wait_for(|open| open.usable().next().is_some());
        let Ok(Ok(open)) = tokio::time::timeout(patience, some).await else {
            return Err(self.unavailable());
        };
        self.choose(&open).ok_or_else(|| self.unavailable())
    }

    /// The next in turn of those that can do their work, or of all if none can.
    fn choose(&self, open: &Open) -> Option<Line> {
        let (all, serving) = open
            .usable()
            .fold((0, 0), |(all, serving), line| (all + 1, serving + usize::from(line.serving)));
        let count = NonZero::new(if serving > 0 { serving } else { all })?;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut among = open.usable().filter(|line| line.serving || serving == 0);
        // One of those that were counted may have closed meanwhile.
        among.nth(turn % count).or_else(|| open.usable().next()).cloned()
    }

    fn unavailable(&self) -> Failure {
        let message = format!("{} cannot be reached", self.role);
        Failure::new(ErrorKind::Unavailable, "unavailable", message)
    }
}

/// Does the failure say that the far end has not processed the request? A connection that is closed
/// in good order refuses what came after its end, and a stream can be refused by itself.
fn unprocessed(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_remote()
            && (cause.is_go_away() && cause.reason() == Some(h2::Reason::NO_ERROR)
                || cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Generated clients name the method only; HTTP/2 wants to know of whom it is asked.
fn addressed(mut request: Request<Body>, role: Role) -> Result<Request<Body>, Failure> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTPS);
    parts.authority = Some(uri::Authority::from_static(role.as_str()));
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Failure::internal())?;
    Ok(request)
}

/// The body of an answer. Its connection may be lost: that is UNAVAILABLE, too.
fn received(body: Incoming) -> Body {
    Body::new(body.map_err(|_| Status::unavailable("the connection to the service was lost")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hosts_with_ports() {
        let peers = |text: &str| text.parse::<Peers>();
        let one = |host: &str, port| (host.to_owned(), port);
        let issuance = Peers(vec![one("issuance", 8091)]);
        assert_eq!(peers("https://issuance:8091"), Ok(issuance.clone()));
        assert_eq!(peers("https://issuance:8091/"), Ok(issuance));
        let two = Peers(vec![one("10.0.0.1", 8091), one("::1", 443)]);
        assert_eq!(peers("https://10.0.0.1:8091, [::1]"), Ok(two));
        for wrong in [
            "",
            "issuance:8091",
            "http://issuance:8091",
            "https://",
            "https://a,,b",
            "https://a/path",
            "https://a?x",
            "https://user@a",
            "https://a:99999",
        ] {
            assert_eq!(peers(wrong), Err(InvalidPeers), "{wrong}");
        }
    }
}
