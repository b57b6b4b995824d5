//! Who may call, for how long, and what a panic becomes.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{Request, Response};
use keystile_contract::{Failure, Identity, deadline, identity::may_call};
use keystile_domain::ErrorKind;
use tonic::{Code, Status, body::Body, service::Routes};
use tower::Service;
use tracing::{Instrument as _, Span, field::Empty};

use super::{Limits, code, method};
use crate::telemetry::{self, Incoming, Metrics, metrics::Call};

/// A service's generated servers behind the checks that every call passes.
#[derive(Debug, Clone)]
pub struct Stack {
    routes: Routes,
    limits: Limits,
    metrics: Option<Metrics>,
}

/// Wraps `routes`. Each call must carry an [`Identity`] that may make it, ends by its deadline and
/// survives a panic as INTERNAL. A deadline bounds the time until the answer begins: a stream that
/// has begun goes on.
#[must_use]
pub fn stack(routes: Routes, limits: Limits) -> Stack {
    Stack { routes: routes.prepare(), limits, metrics: None }
}

impl Stack {
    /// The same, with each call counted and timed.
    #[must_use]
    pub fn measured(self, metrics: &Metrics) -> Self {
        Self { metrics: Some(metrics.clone()), ..self }
    }
}

impl Service<Request<Body>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let identity = request.extensions().get::<Identity>();
        let span = span(&request, identity);
        let path = request.uri().path();
        let admitted = admit(identity, path);
        // What nobody may call could have any name.
        let counted = if admitted.is_ok() { path } else { "" };
        let call = self.metrics.as_ref().map(|metrics| metrics.call(counted, identity));
        if let Err(refused) = admitted {
            let (service, method) = method(path);
            tracing::warn!(
                parent: &span,
                reason = refused.reason,
                rpc.service = service,
                rpc.method = method,
                peer = identity.map(tracing::field::display),
                "refused a call"
            );
            let response = Status::from(refused).into_http();
            ended(&span, call, code(&response));
            return Box::pin(async { Ok(response) });
        }
        let within = deadline::asked(request.headers())
            .unwrap_or(self.limits.default_timeout)
            .min(self.limits.max_timeout);
        let answer = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
        let calling = span.clone();
        let answer = async move {
            let response = match tokio::time::timeout(within, answer).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(_panic)) => {
                    // The panic hook has said where.
                    tracing::error!("a call panicked");
                    Status::from(Failure::internal()).into_http()
                }
                Err(_) => {
                    tracing::debug!("a call reached its deadline");
                    Status::from(Failure::deadline_exceeded()).into_http()
                }
            };
            let code = code(&response);
            if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
                tracing::error!(rpc.code = ?code, "a call failed");
            }
            ended(&calling, call, code);
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

/// RPC conventions of `OpenTelemetry`; what only they need is recorded only for them. The parent is
/// the caller's span where that is in this process, otherwise what the headers say.
fn span(request: &Request<Body>, identity: Option<&Identity>) -> Span {
    let (service, method) = method(request.uri().path());
    let span = tracing::info_span!(
        "grpc.request",
        rpc.service = service,
        rpc.method = method,
        peer = identity.map(tracing::field::display),
        rpc.system = Empty,
        rpc.grpc.status_code = Empty,
        otel.kind = Empty,
        otel.name = Empty,
        otel.status_code = Empty,
    );
    if telemetry::exporting() {
        telemetry::local_or(&span, request.headers(), Incoming::Known);
        span.record("otel.kind", "server");
        span.record("otel.name", format_args!("{service}/{method}"));
        span.record("rpc.system", "grpc");
    }
    span
}

fn ended(span: &Span, call: Option<Call>, code: Code) {
    if let Some(call) = call {
        call.end(code);
    }
    if telemetry::exporting() {
        span.record("rpc.grpc.status_code", i32::from(code));
        // Failures of the server, as the conventions have it.
        if matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn admit(identity: Option<&Identity>, path: &str) -> Result<(), Failure> {
    let Some(identity) = identity else {
        let message = "the caller did not prove who it is";
        return Err(Failure::new(ErrorKind::Unauthenticated, "no_identity", message));
    };
    if may_call(identity, path) {
        return Ok(());
    }
    let message = "this identity may not call this method";
    Err(Failure::new(ErrorKind::Forbidden, "method_not_allowed", message))
}
