//! The stack behind a socket.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{body::Body as HttpBody, response::Response};
use http::Request;
use hyper::body::Incoming;
use keystile_contract::Identity;
use tokio::net::TcpListener;
use tonic::{body::Body, service::Routes};
use tonic_health::ServingStatus;
use tower::{Service as _, ServiceExt as _};

use super::{Limits, Stack};
use crate::{
    Drain,
    health::Readiness,
    listen::{Bounds, accept},
};

const HEALTH: &str = "/grpc.health.v1.Health/";
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Plaintext would be readable and forgeable on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address, and gRPC without TLS is for loopback only")]
pub struct NotLoopback(pub SocketAddr);

/// Serves `stack` in plaintext until `drain` begins. Every caller counts as `identity`, whatever
/// it sends. The standard health service answers everyone with `readiness`.
///
/// # Errors
/// [`NotLoopback`] if the listener could be reached from another machine.
pub async fn serve(
    listener: TcpListener,
    stack: Stack,
    identity: Identity,
    readiness: Readiness,
    drain: Drain,
    limits: Limits,
) -> Result<(), NotLoopback> {
    // A listener without an address cannot be shown to be local either.
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let addr = listener.local_addr().unwrap_or(unspecified);
    if !addr.ip().to_canonical().is_loopback() {
        return Err(NotLoopback(addr));
    }
    let (reporter, health) = tonic_health::server::health_reporter();
    let health = Routes::new(health).prepare();
    let stopping = drain.stopping();
    drain.spawn(async move {
        loop {
            let ready = readiness.report().await.ready;
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            tokio::select! {
                () = tokio::time::sleep(HEALTH_INTERVAL) => {}
                () = stopping.cancelled() => return,
            }
        }
    });
    let bounds = Bounds {
        header_timeout: Duration::from_secs(10),
        header_count: 64,
        header_bytes: 16 * 1024,
        connections: limits.connections,
        streams: limits.streams,
        http2_only: true,
    };
    let service = |_: SocketAddr| {
        let (stack, health, identity) = (stack.clone(), health.clone(), identity.clone());
        tower::service_fn(move |request| {
            answer(stack.clone(), health.clone(), identity.clone(), request)
        })
    };
    accept(listener, service, &drain, bounds).await;
    Ok(())
}

async fn answer(
    stack: Stack,
    mut health: Routes,
    identity: Identity,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(identity);
    let request = request.map(Body::new);
    let response = if request.uri().path().starts_with(HEALTH) {
        health.call(request).await?
    } else {
        stack.oneshot(request).await?
    };
    Ok(response.map(HttpBody::new))
}
