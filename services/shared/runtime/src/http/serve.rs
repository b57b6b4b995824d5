//! A router behind a socket.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::Limits;
use crate::{
    Drain,
    listen::{Bounds, accept},
};

/// Serves `router`, HTTP/1.1 and HTTP/2, until `drain` begins; requests that run then may finish
/// in the drain's time. Handlers find the peer as `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain, limits: Limits) {
    let bounds = Bounds {
        header_timeout: limits.header_timeout,
        header_count: limits.header_count,
        header_bytes: limits.header_bytes,
        connections: limits.connections,
        streams: limits.streams,
        http2_only: false,
    };
    let open = |stream, peer| {
        let router = router.clone();
        let service = tower::service_fn(move |request| answer(router.clone(), peer, request));
        std::future::ready(Ok((stream, service)))
    };
    accept(listener, open, &drain, bounds).await;
}

/// Where a program of this machine reaches what listens at `addr`.
#[must_use]
pub fn local(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    // Content-Length beside Transfer-Encoding is the root of request smuggling. hyper drops the
    // former unseen and keeps the connection, on which a proxy that believed it would leave a
    // request of its client's making. RFC 9112 §6.3: answer, then close.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if chunked {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
