//! `POST /api/v1/components/{componentId}/run`: the one route that makes something happen outside.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName},
};
use keystile_catalog::Fault;
use keystile_contract::{
    Failure, Transport, capability,
    proto::vault::v1::{
        RunActionRequest, RunActionResponse, action_service_client::ActionServiceClient,
    },
};
use keystile_domain::ErrorKind;
use keystile_runtime::{Problem, http::StrictJson};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use tonic::Request;
use utoipa::ToSchema;

use crate::{
    Service, code,
    enforce::RunPermit,
    openapi::RunProblems,
    query::{NoParameters, StrictQuery},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How soon to ask again when vault cannot answer, or access is being changed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What to run it with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// What the component's input schema asks for; `{}` if it asks for nothing.
    inputs: Map<String, Value>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunResponse {
    /// The app's answer: its JSON as it was, a string if it was not JSON, null if it was empty.
    #[schema(value_type = Value)]
    outputs: Box<RawValue>,
}

/// Runs an action of an app, with the account that the key was granted.
///
/// An answer of the app outside 2xx is a 502 `app_error` with `upstreamStatus` and `outputs`. After
/// a 502, 503 or 504 the action may have happened.
#[utoipa::path(
    post,
    path = "/api/v1/components/{componentId}/run",
    operation_id = "runComponent",
    tag = "components",
    params(("componentId" = String, Path, example = "action.gmail.send-email")),
    request_body = RunRequest,
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = OK, description = "The app's answer.", body = RunResponse), RunProblems)
)]
pub(crate) async fn run(
    State(service): State<Service>,
    permit: RunPermit,
    _: StrictQuery<NoParameters>,
    headers: HeaderMap,
    StrictJson(body): StrictJson<RunRequest>,
) -> Result<Json<RunResponse>, Problem> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return Err(code::IDEMPOTENCY_NOT_SUPPORTED.problem());
    }
    let inputs = Value::Object(body.inputs);
    permit.item().component().validate(&inputs).map_err(|faults| invalid(&faults))?;
    let answer = call_twice(service.vault(), permit, inputs.to_string().into_bytes()).await?;
    answered(&answer)
}

/// Calls vault; if the capability turned out to be older than a cut, once more with a fresh one.
async fn call_twice(
    vault: &ActionServiceClient<Transport>,
    mut permit: RunPermit,
    inputs: Vec<u8>,
) -> Result<RunActionResponse, Problem> {
    let failure = match call(vault, &permit, inputs.clone()).await {
        Ok(answer) => return Ok(answer),
        Err(failure) => failure,
    };
    let Some(needed) = failure.needed_position() else { return Err(failed(failure)) };
    permit.renew(&needed).await?;
    call(vault, &permit, inputs).await.map_err(failed)
}

async fn call(
    vault: &ActionServiceClient<Transport>,
    permit: &RunPermit,
    inputs_json: Vec<u8>,
) -> Result<RunActionResponse, Failure> {
    let component = permit.item().id().to_string();
    let mut request = Request::new(RunActionRequest { component, inputs_json });
    capability::attach(request.metadata_mut(), permit.capability());
    let mut vault = vault.clone();
    permit.deadline().call(request, |request| vault.run_action(request)).await
}

fn answered(answer: &RunActionResponse) -> Result<Json<RunResponse>, Problem> {
    let outputs = serde_json::from_slice::<Box<RawValue>>(&answer.outputs_json)
        .map_err(|_| defect("vault answered with something other than JSON"))?;
    match answer.status {
        200..=299 => Ok(Json(RunResponse { outputs })),
        300..=599 => {
            let outputs: Value = serde_json::from_str(outputs.get())
                .map_err(|_| defect("vault answered with something other than JSON"))?;
            let problem = code::APP_ERROR.problem();
            Err(problem.with("upstreamStatus", answer.status).with("outputs", outputs))
        }
        _ => Err(defect("vault answered with something other than an HTTP status")),
    }
}

/// Faults of the inputs, by their place in the body.
fn invalid(faults: &[Fault]) -> Problem {
    let errors = faults.iter().map(|fault| fault_at(&fault.pointer, &fault.message));
    code::INVALID_INPUTS.problem().with("errors", errors.collect::<Vec<_>>())
}

fn fault_at(pointer: &str, detail: &str) -> Value {
    json!({ "pointer": format!("/inputs{pointer}"), "detail": detail })
}

/// A failure of vault as a problem: the one table.
fn failed(failure: Failure) -> Problem {
    match failure.kind {
        // Vault holds the inputs against its own catalog, which may be newer than this one.
        ErrorKind::Invalid if !failure.faults.is_empty() => {
            let errors = failure.faults.iter().map(|fault| fault_at(&fault.field, &fault.message));
            code::INVALID_INPUTS.problem().with("errors", errors.collect::<Vec<_>>())
        }
        ErrorKind::NotFound if failure.reason == code::UNKNOWN_COMPONENT.code => {
            code::UNKNOWN_COMPONENT.problem()
        }
        ErrorKind::NotFound | ErrorKind::Conflict => {
            code::CONNECTION_UNUSABLE.because(failure.message).with("reason", failure.reason)
        }
        ErrorKind::Stale => code::ACCESS_CHANGING.problem().retry_after(RETRY_AFTER),
        ErrorKind::Upstream => {
            code::APP_UNREACHABLE.because(failure.message).with("reason", failure.reason)
        }
        ErrorKind::Timeout => code::APP_TIMEOUT.problem(),
        ErrorKind::Unavailable | ErrorKind::Exhausted => {
            tracing::warn!(reason = failure.reason, "vault does not run actions");
            code::VAULT_UNAVAILABLE.problem().retry_after(RETRY_AFTER)
        }
        // A capability that vault does not accept is a defect of this installation.
        ErrorKind::Invalid
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::Internal => defect(&failure.message),
    }
}

fn defect(cause: &str) -> Problem {
    tracing::error!(cause, "vault cannot be used");
    code::INTERNAL.problem()
}
