//! Plans are checked in the transaction of the change (threat 35).

use keystile_contract::convert::timestamp;
use keystile_contract::proto::issuance::v1::{
    GetTeamRequest, Plan, RegenerateKeyRequest, RevokeKeyRequest, RotateKeyRequest, SetPlanRequest,
};
use keystile_domain::{Clock, ErrorKind};

use crate::world::{Person, World, new_key};

async fn set_plan(world: &World, owner: &Person, plan: Plan) -> bool {
    let request =
        SetPlanRequest { team_id: owner.0.team.expect("a team").to_string(), plan: Some(plan) };
    let answer = world.teams().set_plan(world.by(&World::operator(), request)).await.expect("set");
    answer.into_inner().outcome.expect("an outcome").receipt.is_some()
}

fn plan(api_access: bool, max_keys: Option<u32>) -> Plan {
    Plan { name: "test".into(), api_access, max_keys, monthly_requests: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_creates_at_once_no_more_succeed_than_the_plan_allows() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        set_plan(&world, &owner, plan(true, Some(7))).await;
        let creates = (0..100).map(|number| {
            let request = world.by(&owner, new_key(&format!("key {number}")));
            let mut keys = world.keys();
            tokio::spawn(async move { keys.create_key(request).await })
        });
        let (mut made, mut refused) = (0, 0);
        for create in creates.collect::<Vec<_>>() {
            match create.await.expect("joins") {
                Ok(_) => made += 1,
                Err(status) => {
                    let failure = keystile_contract::Failure::from(status);
                    assert_eq!(failure.reason, "key_limit_reached");
                    assert_eq!(failure.kind, ErrorKind::Exhausted);
                    refused += 1;
                }
            }
        }
        assert_eq!((made, refused), (7, 93));
        let request = world.by(&owner, GetTeamRequest::default());
        let team = world.teams().get_team(request).await.expect("found").into_inner().team;
        assert_eq!(team.expect("a team").key_count, 7);
    }
}

#[tokio::test]
async fn revoking_a_key_makes_room_for_another() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    set_plan(&world, &owner, plan(true, Some(1))).await;
    let (key, _) = world.key(&owner).await;
    let more = || world.by(&owner, new_key("one more"));
    assert!(world.keys().create_key(more()).await.is_err());
    let request = RevokeKeyRequest { key_id: key.id, ..Default::default() };
    world.keys().revoke_key(world.by(&owner, request)).await.expect("revoked");
    assert!(world.keys().create_key(more()).await.is_ok());
}

#[tokio::test]
async fn without_api_access_no_secret_is_made_and_losing_it_is_a_cut() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    assert!(set_plan(&world, &owner, plan(false, None)).await, "a downgrade is a cut");
    let create = World::refused(world.keys().create_key(world.by(&owner, new_key("k"))).await);
    let request = RegenerateKeyRequest { key_id: key.id.clone(), ..Default::default() };
    let regenerate = World::refused(world.keys().regenerate_key(world.by(&owner, request)).await);
    let request = RotateKeyRequest {
        key_id: key.id,
        overlap_ends_at: Some(timestamp(world.clock.now() + time::Duration::hours(1))),
        ..Default::default()
    };
    let rotate = World::refused(world.keys().rotate_key(world.by(&owner, request)).await);
    for refused in [create, regenerate, rotate] {
        assert_eq!(
            (refused.kind, refused.reason.as_str()),
            (ErrorKind::Forbidden, "plan_required")
        );
    }
    assert!(!set_plan(&world, &owner, plan(true, None)).await, "an upgrade is none");
}
