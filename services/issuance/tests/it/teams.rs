//! Teams, and who may manage them.

use keystile_contract::proto::issuance::v1::{
    CreateTeamRequest, GetTeamRequest, Plan, ResumeTeamRequest, SetPlanRequest, SuspendTeamRequest,
    TeamStatus,
};
use keystile_domain::{ErrorKind, MemberRole};

use crate::world::{World, receipt};

#[tokio::test]
async fn a_team_is_created_once_with_the_plan_that_allows_everything() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let team_id = owner.0.team.expect("a team").to_string();
    let viewer = world.member(owner.0.team.expect("a team"), MemberRole::Viewer);
    let request = world.by(&viewer, GetTeamRequest::default());
    let team = world.teams().get_team(request).await.expect("found").into_inner().team;
    let team = team.expect("a team");
    let plan = team.plan.as_ref().expect("a plan");
    assert!(plan.api_access && plan.max_keys.is_none() && plan.monthly_requests.is_none());
    assert_eq!((team.name.as_str(), team.status()), ("Ada's team", TeamStatus::Active));
    let request = CreateTeamRequest { team_id, name: "again".into() };
    let refused =
        World::refused(world.teams().create_team(world.by(&World::operator(), request)).await);
    assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Conflict, "team_exists"));
}

#[tokio::test]
async fn suspending_is_a_cut_and_resuming_is_not() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let team_id = owner.0.team.expect("a team").to_string();
    let suspend = || SuspendTeamRequest { team_id: team_id.clone() };
    let operator = World::operator();
    let first = world.teams().suspend_team(world.by(&operator, suspend())).await.expect("done");
    let first = first.into_inner();
    assert_eq!(first.team.expect("a team").status(), TeamStatus::Suspended);
    let seq = receipt(first.outcome).seq;
    let again = world.teams().suspend_team(world.by(&operator, suspend())).await.expect("done");
    assert_eq!(receipt(again.into_inner().outcome).seq, seq);
    let request = ResumeTeamRequest { team_id: team_id.clone() };
    let resumed = world.teams().resume_team(world.by(&operator, request)).await.expect("done");
    let resumed = resumed.into_inner();
    assert_eq!(resumed.team.expect("a team").status(), TeamStatus::Active);
    assert!(resumed.outcome.expect("an outcome").receipt.is_none());
}

#[tokio::test]
async fn only_the_operator_manages_teams() {
    let world = World::memory().await;
    let owner = world.team().await;
    let team_id = owner.0.team.expect("a team").to_string();
    let mut teams = world.teams();
    let request = CreateTeamRequest { team_id: team_id.clone(), name: "n".into() };
    let create = World::refused(teams.create_team(world.by(&owner, request)).await);
    let request = SetPlanRequest {
        team_id: team_id.clone(),
        plan: Some(Plan { name: "all".into(), api_access: true, ..Plan::default() }),
    };
    let plan = World::refused(teams.set_plan(world.by(&owner, request)).await);
    let request = SuspendTeamRequest { team_id: team_id.clone() };
    let suspend = World::refused(teams.suspend_team(world.by(&owner, request)).await);
    let request = ResumeTeamRequest { team_id };
    let resume = World::refused(teams.resume_team(world.by(&owner, request)).await);
    for refused in [create, plan, suspend, resume] {
        assert_eq!(refused.kind, ErrorKind::Forbidden);
        assert_eq!(refused.facts.get("required").map(String::as_str), Some("operator"));
    }
}
