//! The stack behind a socket.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body as HttpBody, response::Response};
use http::Request;
use hyper::body::Incoming;
use keystile_contract::Identity;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
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
    /// Whoever shows a certificate of the installation's authority: each is who that says.
    Certified(Arc<ServerConfig>),
}

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
                std::future::ready(Ok((stream, server.answering(Some(identity.clone())))))
            };
            accept(listener, open, &drain, bounds).await;
        }
        Callers::Certified(config) => {
            let acceptor = TlsAcceptor::from(config);
            let open = |stream, _| certified(acceptor.clone(), stream, server.clone());
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

async fn certified(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    server: Server,
) -> io::Result<(TlsStream<TcpStream>, Answering)> {
    let stream = acceptor.accept(stream).await?;
    let (_, connection) = stream.get_ref();
    // A certificate of our authority without an identity may connect, and call nothing.
    let identity = connection.peer_certificates().and_then(mtls::identity);
    Ok((stream, server.answering(identity)))
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
    fn answering(&self, identity: Option<Identity>) -> Answering {
        let server = self.clone();
        let answer = tower::service_fn(move |request| {
            let (server, identity) = (server.clone(), identity.clone());
            server.answer(identity, request)
        });
        Answering::new(answer)
    }

    async fn answer(
        mut self,
        identity: Option<Identity>,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        let request = request.map(Body::new);
        let response = if request.uri().path().starts_with(HEALTH) {
            self.health.call(request).await?
        } else {
            self.stack.oneshot(request).await?
        };
        Ok(response.map(|body| HttpBody::new(Ending::new(body, self.stopping))))
    }
}
