//! Keeps a connection to every replica.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Uri;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use keystile_domain::{Backoff, Clock, Entropy, Role};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::{Notify, watch},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use super::{Line, Open, received, replay::Sending};

/// How often names are looked up again, and at most how often after failures.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);
const RESOLVE_PAUSE: Duration = Duration::from_millis(250);
/// For TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between attempts double from the first to the last, less up to half by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// The failure in a row that is told to the operator, once.
const WARNED: u32 = 5;
/// A silent replica is given up after one of each.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// What may be under way on one stream, and on a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Keeper {
    role: Role,
    tls: TlsConnector,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    open: watch::Sender<Open>,
    /// Somebody could not connect: perhaps the replica is elsewhere by now.
    lost: Notify,
}

/// Keeps a connection to every address that `places` stand for; never ends.
pub(super) async fn keep(
    role: Role,
    places: Vec<(String, u16)>,
    tls: Arc<ClientConfig>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    open: watch::Sender<Open>,
) {
    let (tls, lost) = (TlsConnector::from(tls), Notify::new());
    let keeper = Arc::new(Keeper { role, tls, clock, entropy, open, lost });
    let mut kept: HashMap<SocketAddr, DropGuard> = HashMap::new();
    let mut known: HashMap<&(String, u16), BTreeSet<SocketAddr>> = HashMap::new();
    loop {
        for place in &places {
            match lookup_host((place.0.as_str(), place.1)).await {
                Ok(found) => drop(known.insert(place, found.collect())),
                // What is known goes on: a name that does not resolve says nothing about replicas
                // of other names, and a name server that is down nothing about any.
                Err(error) => tracing::debug!(%role, name = place.0, %error, "cannot look up"),
            }
        }
        let found: BTreeSet<_> = known.values().flatten().copied().collect();
        kept.retain(|address, _| found.contains(address));
        for address in found {
            kept.entry(address).or_insert_with(|| {
                let stop = CancellationToken::new();
                let keeping = Arc::clone(&keeper).address(address);
                tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
                stop.drop_guard()
            });
        }
        let _ = tokio::time::timeout(RESOLVE_INTERVAL, keeper.lost.notified()).await;
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

impl Keeper {
    async fn address(self: Arc<Self>, address: SocketAddr) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE, Arc::clone(&self.entropy));
        let mut failures = 0;
        loop {
            let error = match tokio::time::timeout(CONNECT_TIMEOUT, self.connect(address)).await {
                Ok(Ok((sender, connection))) => {
                    let line = Listed::add(&self, Line { address, sender, serving: false });
                    // An answer is what shows that the far end took our certificate.
                    let ended = tokio::select! {
                        ended = connection => ended,
                        never = line.watch() => match never {},
                    };
                    if line.answered() {
                        backoff.reset();
                        failures = 0;
                    }
                    ended.err().map_or_else(|| "the connection was closed".into(), Into::into)
                }
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            failures += 1;
            if failures == WARNED {
                tracing::warn!(role = %self.role, %address, %error, "a replica cannot be reached");
            } else {
                tracing::debug!(role = %self.role, %address, %error, "not connected");
            }
            self.lost.notify_one();
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    fn change(&self, how: impl FnOnce(&mut Vec<Line>)) {
        self.open.send_modify(|open| {
            how(&mut open.lines);
            open.changed_at = self.clock.tick();
        });
    }

    async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(SendRequest<Sending>, Connection), Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.role.as_str())?;
        let stream = self.tls.connect(name, stream).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        Ok((sender, Box::pin(connection)))
    }
}

type Connection = std::pin::Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A line in the list, until it is over or its keeper is told to stop.
struct Listed<'a> {
    keeper: &'a Keeper,
    address: SocketAddr,
    sender: SendRequest<Sending>,
    answered: AtomicBool,
}

impl<'a> Listed<'a> {
    fn add(keeper: &'a Keeper, line: Line) -> Self {
        let (address, sender) = (line.address, line.sender.clone());
        keeper.change(|lines| lines.push(line));
        Self { keeper, address, sender, answered: AtomicBool::new(false) }
    }

    fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Hears whether the replica can do its work.
    async fn watch(&self) -> Infallible {
        let sender = self.sender.clone();
        let over = service_fn(move |request: http::Request<Body>| {
            let mut sender = sender.clone();
            async move {
                let answer = sender.send_request(request.map(Sending::once)).await;
                answer.map(|response| response.map(received))
            }
        });
        let origin = Uri::from_static("https://replica");
        let mut health = HealthClient::with_origin(over, origin);
        if let Ok(watched) = health.watch(HealthCheckRequest::default()).await {
            let mut watched = watched.into_inner();
            while let Ok(Some(said)) = watched.message().await {
                self.answered.store(true, Ordering::Relaxed);
                let serving = said.status() == ServingStatus::Serving;
                self.keeper.change(|lines| {
                    let own = lines.iter_mut().filter(|line| line.address == self.address);
                    own.for_each(|line| line.serving = serving);
                });
            }
        }
        // Whoever does not speak of its health may do its work.
        pending().await
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.keeper.change(|lines| lines.retain(|line| line.address != self.address));
    }
}
