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
use tracing::Instrument as _;

use super::Limits;

/// A service's generated servers behind the checks that every call passes.
#[derive(Debug, Clone)]
pub struct Stack {
    routes: Routes,
    limits: Limits,
}

/// Wraps `routes`. Each call must carry an [`Identity`] that may make it, ends by its deadline and
/// survives a panic as INTERNAL. A deadline bounds the time until the answer begins: a stream that
/// has begun goes on.
#[must_use]
pub fn stack(routes: Routes, limits: Limits) -> Stack {
    Stack { routes: routes.prepare(), limits }
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
        let span = tracing::info_span!(
            "grpc.request",
            rpc.method = request.uri().path(),
            peer = identity.map(tracing::field::display),
        );
        if let Err(refused) = admit(identity, request.uri().path()) {
            tracing::warn!(parent: &span, reason = refused.reason, "refused a call");
            return Box::pin(async { Ok(Status::from(refused).into_http()) });
        }
        let within = deadline::asked(request.headers())
            .unwrap_or(self.limits.default_timeout)
            .min(self.limits.max_timeout);
        let answer = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
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
                    Status::from(Failure::new(
                        ErrorKind::Timeout,
                        "deadline_exceeded",
                        "the deadline passed",
                    ))
                    .into_http()
                }
            };
            if let Some(code @ (Code::Internal | Code::Unknown | Code::DataLoss)) = code(&response)
            {
                tracing::error!(rpc.code = ?code, "a call failed");
            }
            Ok(response)
        };
        Box::pin(answer.instrument(span))
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

/// The status of an answer that is only a status.
fn code(response: &Response<Body>) -> Option<Code> {
    response.headers().get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}
