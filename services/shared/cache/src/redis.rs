//! L2 in Redis, a single server or a Cluster, over one pipelined connection.
//!
//! A command that is not answered within a few milliseconds is a miss; a server that does not
//! answer at all is not asked for a while. Connecting and reconnecting happen in the background.

use std::{
    fmt, iter,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use keystile_domain::{Clock, token::Digest};
use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError,
    RedisResult, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::AbortHandle;

use crate::{L2, breaker::Breaker};

/// What the keys of this format begin with. An entry under another prefix is never read.
const PREFIX: &[u8] = b"ks:1:";
/// Into so many parts the keys fall, each of which is in one slot and thus on one node of a Cluster
/// (the part is the key's hash tag). A node that fails is known by its own parts.
const PARTS: u8 = 16;
/// How long a connection may take to come to be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long after a failed attempt the next one begins, at most.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// How a Redis is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis://[user:password@]host:port`, `rediss://…` over TLS, `redis-cluster://host,host…` and
    /// `rediss-cluster://…`.
    pub url: SecretString,
    /// The CA that signed the server's certificate, PEM; without it, those that browsers trust.
    pub ca: Option<Vec<u8>>,
    /// How long a command may take before it counts as a miss.
    pub timeout: Duration,
}

/// The URL is not one of a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another scheme, or not a URL at all.
    #[error(
        "expected redis://host:port, rediss://…, redis-cluster://host:port,host:port or \
         rediss-cluster://…"
    )]
    Url,
    /// What should be a certificate of a CA is none.
    #[error("the CA certificate is not PEM")]
    Ca,
}

/// An L2 in Redis. Dropped, it disconnects.
pub struct Redis {
    link: Arc<OnceLock<Link>>,
    connecting: AbortHandle,
    /// One for each part of a Cluster's keys; one in all for a single server.
    breakers: Vec<Breaker>,
    /// How many of them are open.
    open: AtomicUsize,
    timeout: Duration,
}

/// A connection that heals itself.
#[derive(Clone)]
enum Link {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

enum Server {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl Redis {
    /// Begins to connect. Until that is done everything is a miss. Needs a runtime.
    ///
    /// # Errors
    /// [`Error`]; that nobody answers is none.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let server = server(settings)?;
        let parts = match server {
            Server::Single(_) => 1,
            Server::Cluster(_) => PARTS,
        };
        let link = Arc::new(OnceLock::new());
        let connecting = tokio::spawn(connect(server, Arc::clone(&link))).abort_handle();
        Ok(Self {
            link,
            connecting,
            breakers: iter::repeat_n(clock, parts.into()).map(Breaker::new).collect(),
            open: AtomicUsize::new(0),
            timeout: settings.timeout,
        })
    }

    /// Is the server, or any node of the Cluster, answering, as far as is known?
    #[must_use]
    pub fn answers(&self) -> bool {
        self.link.get().is_some() && self.open.load(Ordering::Relaxed) < self.breakers.len()
    }

    /// The answer about `digest`, if it comes in time.
    async fn ask<T: FromRedisValue>(&self, digest: &Digest, command: &Cmd) -> Option<T> {
        let mut link = self.link.get()?.clone();
        let breaker = &self.breakers[usize::from(part(digest)) % self.breakers.len()];
        if !breaker.passes() {
            return None;
        }
        let asked = async {
            match &mut link {
                Link::Single(connection) => command.query_async(connection).await,
                Link::Cluster(connection) => command.query_async(connection).await,
            }
        };
        let answer: Result<RedisResult<T>, _> = tokio::time::timeout(self.timeout, asked).await;
        let cause = match &answer {
            Ok(Ok(_)) => None,
            // Never the error's own words: they may repeat what was sent.
            Ok(Err(error)) if error.is_unrecoverable_error() || error.is_io_error() => {
                Some(error.category())
            }
            // It is full, or its user may not: it answers.
            Ok(Err(error)) => {
                tracing::debug!(cause = error.category(), "Redis refused a command");
                None
            }
            Err(_) => Some("no answer in time"),
        };
        if breaker.ended(cause.is_none()) {
            self.turned(cause);
        }
        answer.ok()?.ok()
    }

    /// A breaker opened, for that cause, or closed.
    fn turned(&self, cause: Option<&str>) {
        if let Some(cause) = cause {
            if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(cause, "Redis fails: going on without it");
            }
        } else if self.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("Redis answers again");
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("answers", &self.answers()).finish_non_exhaustive()
    }
}

fn part(digest: &Digest) -> u8 {
    digest.as_bytes()[0] % PARTS
}

fn key(digest: &Digest) -> Vec<u8> {
    let tag = format!("{{{}}}", part(digest));
    [PREFIX, tag.as_bytes(), digest.as_bytes()].concat()
}

#[async_trait]
impl L2 for Redis {
    async fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let mut get = redis::cmd("GET");
        get.arg(key(digest));
        let value: Option<Vec<u8>> = self.ask(digest, &get).await?;
        value.map(Into::into)
    }

    async fn put(&self, digest: &Digest, value: Arc<[u8]>, ttl: Duration) {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = redis::cmd("SET");
        set.arg(key(digest)).arg(&*value).arg("PX").arg(ttl);
        let _: Option<()> = self.ask(digest, &set).await;
    }

    async fn remove(&self, digest: &Digest) {
        let mut del = redis::cmd("DEL");
        del.arg(key(digest));
        let _: Option<()> = self.ask(digest, &del).await;
    }
}

fn server(settings: &Settings) -> Result<Server, Error> {
    let url = settings.url.expose_secret();
    let (scheme, rest) = url.split_once("://").ok_or(Error::Url)?;
    let certificates =
        settings.ca.clone().map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
    match scheme {
        "redis" | "rediss" => {
            let info = url.into_connection_info().map_err(|_| Error::Url)?;
            let info = info.set_tcp_settings(tcp());
            let client = match certificates {
                Some(certificates) if is_tls(info.addr()) => {
                    Client::build_with_tls(info, certificates).map_err(|_| Error::Ca)?
                }
                _ => Client::open(info).map_err(|_| Error::Url)?,
            };
            Ok(Server::Single(Box::new(client)))
        }
        "redis-cluster" | "rediss-cluster" => {
            let single = scheme.trim_end_matches("-cluster");
            let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
            let at = if login.is_empty() { "" } else { "@" };
            let nodes = hosts.trim_end_matches('/').split(',');
            let nodes: Vec<_> = nodes.map(|host| format!("{single}://{login}{at}{host}")).collect();
            let mut builder: ClusterClientBuilder = ClusterClient::builder(nodes)
                .tcp_settings(tcp())
                // A call that is tried again holds up others; the next one knows the new way.
                .retries(0)
                .connection_timeout(CONNECT_TIMEOUT);
            if let Some(certificates) = certificates.filter(|_| single == "rediss") {
                builder = builder.certs(certificates);
            }
            builder.build().map(|client| Server::Cluster(Box::new(client))).map_err(|_| Error::Url)
        }
        _ => Err(Error::Url),
    }
}

const fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(USER_TIMEOUT)
}

/// Tries until there is a connection; from then on it heals itself.
async fn connect(server: Server, link: Arc<OnceLock<Link>>) {
    let mut told = false;
    loop {
        match open(&server).await {
            Ok(opened) => {
                tracing::info!("Redis is connected");
                let _ = link.set(opened);
                return;
            }
            Err(error) if !told => {
                tracing::warn!(
                    cause = error.category(),
                    "Redis is not reached: going on without it"
                );
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn open(server: &Server) -> RedisResult<Link> {
    match server {
        Server::Single(client) => {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(CONNECT_TIMEOUT))
                .set_max_delay(RECONNECT_PAUSE);
            let client = Client::clone(client);
            Ok(Link::Single(ConnectionManager::new_with_config(client, config).await?))
        }
        Server::Cluster(client) => {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_connection()).await;
            let late = |_| RedisError::from((ErrorKind::Io, "no connection in time"));
            Ok(Link::Cluster(opened.map_err(late)??))
        }
    }
}
