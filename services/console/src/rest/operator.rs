//! `/api/operator/v1`: plans, suspension, retired token keys.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use keystile_contract::proto::issuance::v1::{
    self as proto, ResumeTeamRequest, RetireTokenKeyRequest, SetPlanRequest, SuspendTeamRequest,
};
use keystile_domain::{Role, TeamId};
use keystile_runtime::http::StrictJson;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Answer,
    extract::{NoBody, NoQuery, Operator, PathId},
    openapi::Problems,
    outcome::{Outcome, answer},
    problem,
    team::Team,
};
use crate::Service;

/// A team after a change.
#[derive(Serialize, ToSchema)]
struct ChangedTeam {
    team: Team,
    #[serde(flatten)]
    outcome: Outcome,
}

impl ChangedTeam {
    fn answer(
        team: Option<proto::Team>,
        outcome: Option<keystile_contract::proto::common::v1::Outcome>,
    ) -> Answer<Response> {
        let body = Self { team: Team::of(team)?, outcome: Outcome::of(outcome)? };
        Ok(answer(StatusCode::OK, body.outcome.status, body))
    }
}

/// What to entitle a team to. Nothing enforces a number of requests yet, so nobody can set one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SetPlan {
    /// What people call it.
    name: String,
    /// May the team's keys be made and used?
    api_access: bool,
    /// Keys that are neither revoked nor deleted, at most; absent is unlimited.
    #[serde(default)]
    max_keys: Option<u32>,
}

/// Sets what a team is entitled to, all of it.
#[utoipa::path(
    put, path = "/teams/{id}/plan", operation_id = "setPlan", tag = "operator",
    security(("operator" = [])),
    params(("id" = String, Path, description = "`team_…`")), request_body = SetPlan,
    responses((status = OK, body = ChangedTeam), (status = ACCEPTED, body = ChangedTeam), Problems)
)]
pub(super) async fn set_plan(
    State(service): State<Service>,
    Operator(actor): Operator,
    _: NoQuery,
    PathId(id): PathId<TeamId>,
    StrictJson(plan): StrictJson<SetPlan>,
) -> Answer<Response> {
    let plan = proto::Plan {
        name: plan.name,
        api_access: plan.api_access,
        max_keys: plan.max_keys,
        monthly_requests: None,
    };
    let message = SetPlanRequest { team_id: id.to_string(), plan: Some(plan) };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &actor, message)?;
    let set = peers.answer(peers.teams().set_plan(request)).await;
    let set = set.map_err(|failure| problem::of(failure, &[("plan.", "")]))?;
    ChangedTeam::answer(set.team, set.outcome)
}

/// Stops every key of a team.
#[utoipa::path(
    post, path = "/teams/{id}/suspend", operation_id = "suspendTeam", tag = "operator",
    security(("operator" = [])),
    params(("id" = String, Path, description = "`team_…`")),
    responses((status = OK, body = ChangedTeam), (status = ACCEPTED, body = ChangedTeam), Problems)
)]
pub(super) async fn suspend(
    State(service): State<Service>,
    Operator(actor): Operator,
    _: NoQuery,
    PathId(id): PathId<TeamId>,
    _: NoBody,
) -> Answer<Response> {
    let message = SuspendTeamRequest { team_id: id.to_string() };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &actor, message)?;
    let suspended = peers.answer(peers.teams().suspend_team(request)).await;
    let suspended = suspended.map_err(|failure| problem::of(failure, &[]))?;
    ChangedTeam::answer(suspended.team, suspended.outcome)
}

/// Lets the keys of a suspended team work again.
#[utoipa::path(
    post, path = "/teams/{id}/resume", operation_id = "resumeTeam", tag = "operator",
    security(("operator" = [])),
    params(("id" = String, Path, description = "`team_…`")),
    responses((status = OK, body = ChangedTeam), Problems)
)]
pub(super) async fn resume(
    State(service): State<Service>,
    Operator(actor): Operator,
    _: NoQuery,
    PathId(id): PathId<TeamId>,
    _: NoBody,
) -> Answer<Response> {
    let message = ResumeTeamRequest { team_id: id.to_string() };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &actor, message)?;
    let resumed = peers.answer(peers.teams().resume_team(request)).await;
    let resumed = resumed.map_err(|failure| problem::of(failure, &[]))?;
    ChangedTeam::answer(resumed.team, resumed.outcome)
}

/// What retiring a token key cut.
#[derive(Serialize, ToSchema)]
struct Retired {
    /// Secrets that no longer work.
    secrets: u64,
    /// How the last cut ended; null if nothing used the token key.
    outcome: Option<Outcome>,
}

/// Cuts every secret that was minted under one token key.
#[utoipa::path(
    post, path = "/token-keys/{id}/retire", operation_id = "retireTokenKey", tag = "operator",
    security(("operator" = [])),
    params(("id" = u32, Path, description = "The version of the token key.")),
    responses((status = OK, body = Retired), (status = ACCEPTED, body = Retired), Problems)
)]
pub(super) async fn retire_token_key(
    State(service): State<Service>,
    Operator(actor): Operator,
    _: NoQuery,
    PathId(version): PathId<u32>,
    _: NoBody,
) -> Answer<Response> {
    let message = RetireTokenKeyRequest { version };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &actor, message)?;
    let retired = peers.answer(peers.teams().retire_token_key(request)).await;
    let retired = retired.map_err(|failure| problem::of(failure, &[]))?;
    let outcome = retired.outcome.map(|outcome| Outcome::of(Some(outcome))).transpose()?;
    let body = Retired { secrets: retired.secrets, outcome };
    Ok(match &body.outcome {
        Some(outcome) => answer(StatusCode::OK, outcome.status, &body),
        None => axum::response::IntoResponse::into_response(Json(body)),
    })
}
