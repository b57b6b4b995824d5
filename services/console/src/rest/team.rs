//! `/team`: the team that a management token works in.

use axum::{Json, extract::State};
use keystile_contract::proto::issuance::v1::{self as proto, GetTeamRequest, TeamStatus};
use keystile_domain::{MemberRole, Permission, Role};
use keystile_runtime::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, extract::NoQuery, openapi::Problems, problem};
use crate::{Error, Service, token_use::Caller};

/// What a team is entitled to. Null is unlimited.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Plan {
    /// What people call it.
    name: String,
    /// May the team's keys be made and used?
    api_access: bool,
    /// Keys that are neither revoked nor deleted, at most.
    max_keys: Option<u32>,
    /// Requests a calendar month over all keys, UTC.
    monthly_requests: Option<u64>,
}

/// A team.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Team {
    /// `team_…`
    id: String,
    /// What people call it.
    name: String,
    /// `active` or `suspended`.
    status: &'static str,
    /// What it is entitled to.
    plan: Plan,
    /// Keys that are neither revoked nor deleted.
    key_count: u32,
}

impl Team {
    /// # Errors
    /// 500 if the service left something out.
    pub(super) fn of(team: Option<proto::Team>) -> Result<Self, Problem> {
        let team = team.ok_or_else(Problem::internal)?;
        let status = match team.status() {
            TeamStatus::Active => "active",
            TeamStatus::Suspended => "suspended",
            TeamStatus::Unspecified => return Err(Problem::internal()),
        };
        let plan = team.plan.ok_or_else(Problem::internal)?;
        Ok(Self {
            id: team.id,
            name: team.name,
            status,
            plan: Plan {
                name: plan.name,
                api_access: plan.api_access,
                max_keys: plan.max_keys,
                monthly_requests: plan.monthly_requests,
            },
            key_count: team.key_count,
        })
    }
}

/// A team, and what the token is worth there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct OwnTeam {
    #[serde(flatten)]
    team: Team,
    /// The lower of the token's role and its creator's role now.
    #[schema(value_type = String)]
    role: &'static str,
}

/// The team, its plan, and what this token is worth there.
#[utoipa::path(
    get, path = "/team", operation_id = "getTeam", tag = "team",
    responses((status = OK, body = OwnTeam), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
) -> Answer<Json<OwnTeam>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let message = GetTeamRequest { team_id: String::new() };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &caller.actor, message)?;
    let answer = peers.answer(peers.teams().get_team(request)).await;
    let team = Team::of(answer.map_err(|failure| problem::of(failure, &[]))?.team)?;
    Ok(Json(OwnTeam { team, role: MemberRole::as_str(caller.role) }))
}
