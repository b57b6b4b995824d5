//! The gRPC service: convert, call, convert.

mod convert;

use std::sync::Arc;

use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Failure, Identity, SealKeys,
    proto::verification::v1::{
        VerifyRequest, VerifyResponse, VerifyStreamRequest, VerifyStreamResponse,
        verification_service_server::VerificationService, verify_stream_response::Outcome,
    },
    status,
};
use keystile_domain::{Clock, ErrorKind, Role};
use tonic::{Request, Response, Status, Streaming};

use crate::{Answer, Verifier, capability};

#[derive(Clone)]
pub(crate) struct Rpc {
    verifier: Arc<Verifier>,
    seal_keys: Arc<SealKeys>,
    clock: Arc<dyn Clock>,
    stream_concurrency: usize,
}

impl Rpc {
    pub(crate) fn new(
        verifier: Arc<Verifier>,
        seal_keys: Arc<SealKeys>,
        clock: Arc<dyn Clock>,
        stream_concurrency: usize,
    ) -> Self {
        Self { verifier, seal_keys, clock, stream_concurrency }
    }

    async fn answer(
        &self,
        identity: Option<&Identity>,
        request: &VerifyRequest,
    ) -> Result<VerifyResponse, Failure> {
        let audience = audience(identity, &request.capability_audience)?;
        let asked = convert::Asked::read(request)?;
        let answer = self.verifier.verify(&asked.question(&request.token)).await?;
        let capability = match (&answer, audience) {
            (Answer::Allowed(allowed), Some(audience)) => {
                let (component, now) = (asked.component(), self.clock.now());
                capability::mint(allowed, component, audience, &self.seal_keys, now)?
            }
            (Answer::Allowed(_), None) | (Answer::Refused(_), _) => None,
        };
        Ok(convert::response(&answer, asked.component(), capability))
    }
}

/// Whom the capability is for. Only the gateway gets one: it acts on the verdict right away, and a
/// caller that merely checks keys has no use for the right to act.
fn audience(identity: Option<&Identity>, asked: &str) -> Result<Option<Role>, Failure> {
    if asked.is_empty() {
        return Ok(None);
    }
    if identity != Some(&Identity::Role(Role::Gateway)) {
        let message = "capabilities are for the gateway";
        return Err(Failure::new(ErrorKind::Forbidden, "capability_not_allowed", message));
    }
    match Role::parse(asked) {
        Some(role @ (Role::Vault | Role::Triggers)) => Ok(Some(role)),
        _ => Err(Failure::invalid("capability_audience", "must be vault or triggers")),
    }
}

#[tonic::async_trait]
impl VerificationService for Rpc {
    async fn verify(
        &self,
        request: Request<VerifyRequest>,
    ) -> Result<Response<VerifyResponse>, Status> {
        let identity = request.extensions().get::<Identity>();
        Ok(Response::new(self.answer(identity, request.get_ref()).await?))
    }

    type VerifyStreamStream = BoxStream<'static, Result<VerifyStreamResponse, Status>>;

    async fn verify_stream(
        &self,
        request: Request<Streaming<VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        let identity = request.extensions().get::<Identity>().cloned();
        let rpc = self.clone();
        let answers = request.into_inner().map(move |message| {
            let (rpc, identity) = (rpc.clone(), identity.clone());
            async move {
                let Some(request) = message?.request else {
                    return Ok(failed(&Failure::invalid("request", "is required")));
                };
                Ok(match rpc.answer(identity.as_ref(), &request).await {
                    Ok(response) => {
                        VerifyStreamResponse { outcome: Some(Outcome::Response(response)) }
                    }
                    Err(failure) => failed(&failure),
                })
            }
        });
        Ok(Response::new(answers.buffered(self.stream_concurrency).boxed()))
    }
}

fn failed(failure: &Failure) -> VerifyStreamResponse {
    let code = status::code(failure.kind).into();
    VerifyStreamResponse { outcome: Some(Outcome::ErrorCode(code)) }
}
