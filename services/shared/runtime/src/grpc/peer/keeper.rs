//! Keeps a connection to every replica.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use keystile_domain::{Clock, Entropy, Role, entropy};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::{Notify, watch},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;

use super::{Line, Open};

/// How often names are looked up again, and at most how often after failures.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);
const RESOLVE_PAUSE: Duration = Duration::from_millis(250);
/// For TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between attempts double from the first to the last, less up to half by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
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
    loop {
        match resolve(&places).await {
            Ok(found) => {
                kept.retain(|address, _| found.contains(address));
                for address in found {
                    kept.entry(address).or_insert_with(|| {
                        let stop = CancellationToken::new();
                        let keeping = Arc::clone(&keeper).address(address);
                        tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
                        stop.drop_guard()
                    });
                }
            }
            // What is known goes on: a name server that is down says nothing about the replicas.
            Err(error) => tracing::debug!(%role, %error, "cannot look up"),
        }
        let _ = tokio::time::timeout(RESOLVE_INTERVAL, keeper.lost.notified()).await;
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

async fn resolve(places: &[(String, u16)]) -> io::Result<BTreeSet<SocketAddr>> {
    let mut found = BTreeSet::new();
    for (host, port) in places {
        found.extend(lookup_host((host.as_str(), *port)).await?);
    }
    Ok(found)
}

impl Keeper {
    async fn address(self: Arc<Self>, address: SocketAddr) {
        let mut pause = FIRST_PAUSE;
        loop {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.connect(address)).await {
                Ok(Ok((line, connection))) => {
                    pause = FIRST_PAUSE;
                    tracing::debug!(role = %self.role, %address, "connected");
                    let listed = Listed::add(&self, (address, line));
                    if let Err(error) = connection.await {
                        tracing::debug!(role = %self.role, %address, %error, "lost a connection");
                    }
                    drop(listed);
                }
                Ok(Err(error)) => {
                    tracing::debug!(role = %self.role, %address, %error, "cannot connect");
                }
                Err(_) => tracing::debug!(role = %self.role, %address, "no answer"),
            }
            self.lost.notify_one();
            let [random] = entropy::bytes(&*self.entropy);
            tokio::time::sleep(pause / 2 + pause / 2 * u32::from(random) / 255).await;
            pause = (pause * 2).min(LAST_PAUSE);
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
    ) -> Result<(hyper::client::conn::http2::SendRequest<Body>, Connection), Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.role.as_str())?;
        let stream = self.tls.connect(name, stream).await?;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (line, connection) = builder.handshake(TokioIo::new(stream)).await?;
        Ok((line, Box::pin(connection)))
    }
}

type Connection = std::pin::Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A line in the list, until it is over or its keeper is told to stop.
struct Listed<'a>(&'a Keeper, SocketAddr);

impl<'a> Listed<'a> {
    fn add(keeper: &'a Keeper, line: Line) -> Self {
        let address = line.0;
        keeper.change(|lines| lines.push(line));
        Self(keeper, address)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.change(|lines| lines.retain(|(address, _)| *address != self.1));
    }
}
