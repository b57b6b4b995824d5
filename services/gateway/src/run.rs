//! `POST /api/v1/components/{componentId}/run`: the one route that makes something happen outside.

use std::time::Duration;

use axum::{Json, extract::State, http::HeaderMap};
use keystile_catalog::Fault;
use keystile_contract::{
    Failure, Transport, capability,
    convert::from_duration,
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
    idempotency,
    openapi::RunProblems,
    query::{NoParameters, StrictQuery},
    upstream,
};

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
/// An answer of the app outside 2xx is a 502 `app_error` with `upstreamStatus` and `outputs`, and
/// with `Retry-After` if the app wants to be asked again. After a 502, 503 or 504 the action may
/// have happened, unless the app says otherwise.
///
/// Send an `Idempotency-Key` to repeat a request safely: for 24 hours the action runs once for that
/// key of this API key. A repeat gets the same answer with `Idempotency-Replayed: true`, 409
/// `idempotency_in_progress` while it runs, or 409 `outcome_unknown` if nobody can say whether it
/// happened; with other inputs it is 422. A request of which nothing reached the app, or that the
/// app refused with 401 or 429, runs again.
///
/// Only what is safe is sent to the app again by Keystile itself: methods that only read, and
/// requests of which nothing can have left.
#[utoipa::path(
    post,
    path = "/api/v1/components/{componentId}/run",
    operation_id = "runComponent",
    tag = "components",
    params(
        ("componentId" = String, Path, example = "action.gmail.send-email"),
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Runs the action once for this key: a string in visible ASCII, bare or in \
                           quotes (RFC 9651), for example a UUID",
            example = "8e03978e-40d5-43dd-bc93-6894a57f9324"
        ),
    ),
    request_body = RunRequest,
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (
            status = OK, description = "The app's answer.", body = RunResponse,
            headers(
                ("Keystile-Upstream-Status" = u16, description = "The app's status."),
                ("Keystile-Upstream-*" = String, description = "Selected headers of the app's \
                    answer, such as Keystile-Upstream-ETag, -Link, -X-RateLimit-Remaining and \
                    -X-Request-Id."),
                ("Idempotency-Replayed" = bool, description = "This is the answer to an earlier \
                    request with the same Idempotency-Key."),
            )
        ),
        RunProblems
    )
)]
pub(crate) async fn run(
    State(service): State<Service>,
    permit: RunPermit,
    _: StrictQuery<NoParameters>,
    headers: HeaderMap,
    StrictJson(body): StrictJson<RunRequest>,
) -> Result<(HeaderMap, Json<RunResponse>), Problem> {
    let idempotency_key = idempotency::of(&headers)?;
    let inputs = Value::Object(body.inputs);
    permit.item().component().validate(&inputs).map_err(|faults| invalid(&faults))?;
    let request = RunActionRequest {
        component: permit.item().id().to_string(),
        inputs_json: inputs.to_string().into_bytes(),
        idempotency_key,
    };
    let answer = call_twice(service.vault(), permit, request).await?;
    answered(&answer)
}

/// Calls vault; if the capability turned out to be older than a cut, once more with a fresh one.
async fn call_twice(
    vault: &ActionServiceClient<Transport>,
    mut permit: RunPermit,
    request: RunActionRequest,
) -> Result<RunActionResponse, Problem> {
    let failure = match call(vault, &permit, request.clone()).await {
        Ok(answer) => return Ok(answer),
        Err(failure) => failure,
    };
    let Some(needed) = failure.needed_position() else { return Err(failed(failure)) };
    permit.renew(&needed).await?;
    call(vault, &permit, request).await.map_err(failed)
}

async fn call(
    vault: &ActionServiceClient<Transport>,
    permit: &RunPermit,
    request: RunActionRequest,
) -> Result<RunActionResponse, Failure> {
    let mut request = Request::new(request);
    capability::attach(request.metadata_mut(), permit.capability());
    let mut vault = vault.clone();
    permit.deadline().call(request, |request| vault.run_action(request)).await
}

fn answered(answer: &RunActionResponse) -> Result<(HeaderMap, Json<RunResponse>), Problem> {
    let headers = upstream::headers(answer);
    let outputs = serde_json::from_slice::<Box<RawValue>>(&answer.outputs_json)
        .map_err(|_| defect("vault answered with something other than JSON"))?;
    match answer.status {
        200..=299 => Ok((headers, Json(RunResponse { outputs }))),
        300..=599 => {
            let outputs: Value = serde_json::from_str(outputs.get())
                .map_err(|_| defect("vault answered with something other than JSON"))?;
            let mut problem = code::APP_ERROR.problem();
            for (name, value) in &headers {
                problem = problem.header(name.clone(), value.clone());
            }
            if let Some(wait) = from_duration(answer.retry_after.as_ref()) {
                problem = problem.retry_after(wait);
            }
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
    if let Some(problem) = named(&failure) {
        return problem;
    }
    match failure.kind {
        // Vault holds the inputs against its own catalog, which may be newer than this one.
        ErrorKind::Invalid if !failure.faults.is_empty() => {
            let errors = failure.faults.iter().map(|fault| fault_at(&fault.field, &fault.message));
            code::INVALID_INPUTS.problem().with("errors", errors.collect::<Vec<_>>())
        }
        ErrorKind::NotFound
            if [code::UNKNOWN_COMPONENT.code, "unknown_app"].contains(&failure.reason.as_str()) =>
        {
            code::UNKNOWN_COMPONENT.problem()
        }
        ErrorKind::NotFound | ErrorKind::Conflict => {
            // What the connection is and why, where it is that.
            let of = |fact: &str| failure.facts.get(fact).cloned();
            let reason = of("connection_reason").unwrap_or_else(|| failure.reason.clone());
            let problem = code::CONNECTION_UNUSABLE.because(failure.message).with("reason", reason);
            match failure.facts.get("connection_status") {
                Some(status) => problem.with("connectionStatus", status.clone()),
                None => problem,
            }
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

/// What vault has words of its own for.
fn named(failure: &Failure) -> Option<Problem> {
    let fact = |name| failure.facts.get(name).and_then(|fact| fact.parse::<u64>().ok());
    Some(match (failure.kind, failure.reason.as_str()) {
        (ErrorKind::Invalid, "idempotency_key_reused") => code::IDEMPOTENCY_KEY_REUSED.problem(),
        (ErrorKind::Conflict, "idempotency_in_progress") => {
            code::IDEMPOTENCY_IN_PROGRESS.problem().retry_after(RETRY_AFTER)
        }
        (ErrorKind::Conflict, "outcome_unknown") => code::OUTCOME_UNKNOWN.problem(),
        (ErrorKind::Conflict, "response_not_kept") => {
            code::RESPONSE_NOT_KEPT.problem().with("upstreamStatus", fact("upstream_status"))
        }
        (ErrorKind::Exhausted, "connection_busy") => {
            code::CONNECTION_BUSY.problem().retry_after(RETRY_AFTER)
        }
        (ErrorKind::Exhausted, "connection_rate_limited") => {
            let wait = fact("retry_after_ms").map_or(RETRY_AFTER, Duration::from_millis);
            code::CONNECTION_RATE_LIMITED.problem().retry_after(wait)
        }
        _ => return None,
    })
}

fn defect(cause: &str) -> Problem {
    tracing::error!(cause, "vault cannot be used");
    code::INTERNAL.problem()
}
