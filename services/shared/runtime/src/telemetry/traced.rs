//! A span around each call to another role, and its context on the way.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use keystile_contract::{Transport, transport};
use keystile_domain::Role;
use tonic::body::Body;
use tower::{Service, util::BoxCloneSyncService};
use tracing::{Instrument as _, field::Empty};

use super::context;
use crate::grpc;

/// `transport` to a role, with a client span around each call that the far end continues. Where no
/// traces are exported it is `transport` itself: wire after [`super::init`].
#[must_use]
pub fn traced(transport: Transport, to: Role) -> Transport {
    if context::exporting() {
        BoxCloneSyncService::new(Traced { inner: transport, to })
    } else {
        transport
    }
}

#[derive(Clone)]
struct Traced {
    inner: Transport,
    to: Role,
}

impl Service<Request<Body>> for Traced {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, transport::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    /// RPC conventions of `OpenTelemetry`.
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (service, method) = grpc::method(request.uri().path());
        let span = tracing::info_span!(
            "grpc.client",
            otel.kind = "client",
            otel.name = format_args!("{service}/{method}"),
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            peer.service = %self.to,
            rpc.grpc.status_code = Empty,
            otel.status_code = Empty,
        );
        context::inject(&span, request.headers_mut());
        // A far end in this process makes its span while it is called.
        let answer = span.in_scope(|| self.inner.call(request));
        let recorded = span.clone();
        let answer = async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or(tonic::Code::Unavailable, grpc::code);
            recorded.record("rpc.grpc.status_code", i32::from(code));
            if code != tonic::Code::Ok {
                recorded.record("otel.status_code", "ERROR");
            }
            answer
        };
        Box::pin(answer.instrument(span))
    }
}
