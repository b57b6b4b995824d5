//! Actions of keys.

use keystile_contract::{
    capability,
    convert::parse,
    deadline,
    proto::vault::v1::{RunActionRequest, RunActionResponse, action_service_server::ActionService},
};
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use super::{Actions, refuse};

#[async_trait]
impl ActionService for Actions {
    #[instrument(name = "vault.run_action", skip_all, fields(key.id, team.id, component.id))]
    async fn run_action(
        &self,
        request: Request<RunActionRequest>,
    ) -> Result<Response<RunActionResponse>, Status> {
        let asked = deadline::asked(request.metadata().as_ref());
        let now = self.0.clock.now();
        let capability = capability::of_request(request.metadata(), &self.0.seal_keys, now)?;
        let span = tracing::Span::current();
        span.record("key.id", tracing::field::display(capability.key));
        span.record("team.id", tracing::field::display(capability.team));
        span.record("component.id", tracing::field::display(&capability.component));
        let request = request.into_inner();
        let component = parse("component", &request.component)?;
        let answer = self
            .0
            .run_action(&capability, &component, &request.inputs_json, asked)
            .await
            .map_err(refuse)?;
        Ok(Response::new(RunActionResponse {
            status: answer.status.as_u16().into(),
            outputs_json: answer.outputs,
        }))
    }
}
