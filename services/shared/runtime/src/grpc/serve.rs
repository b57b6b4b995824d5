//! The stack behind a socket.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body as HttpBody, response::Response};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use keystile_contract::{Identity, identity::may_reach};
use keystile_domain::Role;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};
use tonic_health::ServingStatus;
use tower::{Service as _, ServiceExt as _};

use super::{Limits, Stack, ending::Ending};
use crate::{
    Drain,
    health::Readiness,
    listen::{Bounds, accept},
    mtls,
};

const HEALTH: &str = "/grpc.health.v1.Health/";
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Plaintext would be readable and forgeable on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address, and gRPC without TLS is for loopback only")]
pub struct NotLoopback(pub SocketAddr);

/// Who may connect, and how it is known who calls.
#[derive(Debug, Clone)]
pub enum Callers {
    /// Programs of this machine, in plaintext: each counts as this identity, whatever it sends.
    Loopback(Identity),
    /// Whoever shows a certificate of the installation's authority for an identity that may call
    /// the role: each is who that says.
    Certified(Role, Arc<ServerConfig>),
}

/// Connections at once of one caller, and of one role, as parts of all. Roles are few and trusted to
/// keep one connection a process.
const CALLER_SHARE: usize = 16;
const ROLE_SHARE: usize = 4;

/// Serves `stack` to `callers` until `drain` begins. The standard health service answers every one
/// of them with `readiness`.
///
/// # Errors
/// [`NotLoopback`] if a listener in plaintext could be reached from another machine.
pub async fn serve(
    listener: TcpListener,
    stack: Stack,
    callers: Callers,
    readiness: Readiness,
    drain: Drain,
    limits: Limits,
) -> Result<(), NotLoopback> {
    let bounds = Bounds {
        header_timeout: Duration::from_secs(10),
        header_count: 64,
        header_bytes: 16 * 1024,
        connections: limits.connections,
        streams: limits.streams,
        http2_only: true,
    };
    let server = Server { stack, health: health(readiness, &drain), stopping: drain.stopping() };
    match callers {
        Callers::Loopback(identity) => {
            // A listener without an address cannot be shown to be local either.
            let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
            let addr = listener.local_addr().unwrap_or(unspecified);
            if !addr.ip().to_canonical().is_loopback() {
                return Err(NotLoopback(addr));
            }
            let open = |stream, _| {
                std::future::ready(Ok((stream, server.answering(identity.clone(), None))))
            };
            accept(listener, open, &drain, bounds).await;
        }
        Callers::Certified(role, config) => {
            let door = Door {
                role,
                acceptor: TlsAcceptor::from(config),
                connections: limits.connections,
                inside: Arc::default(),
            };
            let open = |stream, _| door.clone().open(stream, server.clone());
            accept(listener, open, &drain, bounds).await;
        }
    }
    Ok(())
}

/// Says every second what `readiness` reports.
fn health(readiness: Readiness, drain: &Drain) -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    let stopping = drain.stopping();
    drain.spawn(async move {
        loop {
            let ready = readiness.report().await.ready;
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            tokio::select! {
                () = tokio::time::sleep(HEALTH_INTERVAL) => {}
                () = stopping.cancelled() => break,
            }
        }
        reporter.set_service_status("", ServingStatus::NotServing).await;
    });
    Routes::new(health).prepare()
}

/// Who comes in, and how many of each.
#[derive(Clone)]
struct Door {
    role: Role,
    acceptor: TlsAcceptor,
    connections: usize,
    inside: Arc<Mutex<HashMap<Identity, usize>>>,
}

impl Door {
    async fn open(
        self,
        stream: TcpStream,
        server: Server,
    ) -> io::Result<(TlsStream<TcpStream>, Answering)> {
        let stream = self.acceptor.accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let identity = connection.peer_certificates().and_then(mtls::identity);
        let identity = identity.filter(|identity| may_reach(identity, self.role));
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let identity = identity.ok_or_else(|| refused("this peer may call nothing here"))?;
        let visit = Visit::begin(&self, &identity);
        let visit = visit.ok_or_else(|| refused("this peer has too many connections"))?;
        Ok((stream, server.answering(identity, Some(visit))))
    }
}

/// A connection of an identity, counted until dropped.
struct Visit {
    identity: Identity,
    inside: Arc<Mutex<HashMap<Identity, usize>>>,
}

impl Visit {
    fn begin(door: &Door, identity: &Identity) -> Option<Arc<Self>> {
        let share = match identity {
            Identity::Role(_) => ROLE_SHARE,
            Identity::Caller(_) => CALLER_SHARE,
        };
        let mut inside = door.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = inside.entry(identity.clone()).or_default();
        if *count >= (door.connections / share).max(1) {
            tracing::warn!(peer = %identity, "refused a connection: too many of this peer");
            return None;
        }
        *count += 1;
        Some(Arc::new(Self { identity: identity.clone(), inside: Arc::clone(&door.inside) }))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.identity);
            }
        }
    }
}

/// What answers on every connection.
#[derive(Clone)]
struct Server {
    stack: Stack,
    health: Routes,
    stopping: CancellationToken,
}

type Answering = tower::util::BoxCloneService<Request<Incoming>, Response, Infallible>;

impl Server {
    /// What answers one peer.
    fn answering(&self, identity: Identity, visit: Option<Arc<Visit>>) -> Answering {
        let server = self.clone();
        let answer = tower::service_fn(move |request| {
            // As long as anybody can ask, the visit lasts.
            let _visit = &visit;
            let (server, identity) = (server.clone(), identity.clone());
            server.answer(identity, request)
        });
        Answering::new(answer)
    }

    async fn answer(
        mut self,
        identity: Identity,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        request.extensions_mut().insert(identity);
        // A caller that goes away in the middle is no defect of ours.
        let request = request
            .map(|body| Body::new(body.map_err(|_| Status::cancelled("the caller went away"))));
        let response = if request.uri().path().starts_with(HEALTH) {
            self.health.call(request).await?
        } else {
            self.stack.oneshot(request).await?
        };
        Ok(response.map(|body| HttpBody::new(Ending::new(body, self.stopping))))
    }
}
