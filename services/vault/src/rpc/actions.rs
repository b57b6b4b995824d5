//! Actions of keys.

use keystile_contract::{
    capability,
    convert::{duration, parse},
    deadline,
    proto::vault::v1::{
        RunActionRequest, RunActionResponse, UpstreamHeader, action_service_server::ActionService,
    },
};
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use super::{Actions, refuse};
use crate::{idempotency::IdempotencyKey, run_action::Asked};

#[async_trait]
impl ActionService for Actions {
    #[instrument(name = "vault.run_action", skip_all, fields(key.id, team.id, component.id))]
    async fn run_action(
        &self,
        request: Request<RunActionRequest>,
    ) -> Result<Response<RunActionResponse>, Status> {
        let within = deadline::asked(request.metadata().as_ref());
        let now = self.0.clock.now();
        let capability = capability::of_request(request.metadata(), &self.0.seal_keys, now)?;
        let span = tracing::Span::current();
        span.record("key.id", tracing::field::display(capability.key));
        span.record("team.id", tracing::field::display(capability.team));
        span.record("component.id", tracing::field::display(&capability.component));
        let request = request.into_inner();
        let asked = Asked {
            component: parse("component", &request.component)?,
            inputs: request.inputs_json,
            idempotency_key: IdempotencyKey::of(request.idempotency_key).map_err(refuse)?,
            within,
        };
        let (answer, replayed) = self.0.run_action(&capability, asked).await.map_err(refuse)?;
        let header = |(name, value)| UpstreamHeader { name, value };
        Ok(Response::new(RunActionResponse {
            status: answer.status.as_u16().into(),
            outputs_json: answer.outputs,
            headers: answer.headers.into_iter().map(header).collect(),
            retry_after: answer.retry_after.map(duration),
            replayed,
        }))
    }
}
