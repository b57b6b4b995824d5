//! Components that an app no longer has.

use keystile_contract::proto::issuance::v1::{
    CreateKeyRequest, GetKeyRequest, ReleaseComponentsRequest, ReleaseComponentsResponse,
    RevokeKeyRequest,
};
use keystile_domain::ErrorKind;

use crate::world::{Person, World, grant, new_key, receipt};

async fn release(
    world: &World,
    owner: &Person,
    components: &[&str],
    force: bool,
) -> ReleaseComponentsResponse {
    let request = ReleaseComponentsRequest {
        team_id: owner.0.team.expect("a team").to_string(),
        app_key: "sandbox".to_owned(),
        components: components.iter().map(|id| (*id).to_owned()).collect(),
        force,
        actor: "user_1".to_owned(),
        actor_label: "ada@example.com".to_owned(),
        ..Default::default()
    };
    world.facts().release_components(request).await.expect("answers").into_inner()
}

/// What the key may do, by app.
async fn grants(world: &World, owner: &Person, key: &str) -> Vec<(String, Vec<String>)> {
    let request = world.by(owner, GetKeyRequest { key_id: key.to_owned() });
    let key = world.keys().get_key(request).await.expect("found").into_inner().key;
    let grants = key.expect("a key").grants.into_iter();
    grants.map(|grant| (grant.app_key, grant.allowed_components)).collect()
}

const ECHO: &str = "action.sandbox.echo";
const LIST: &str = "action.sandbox.list-items";

#[tokio::test]
async fn keys_that_hold_a_component_are_named_and_lose_it_only_by_force() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let other = CreateKeyRequest {
        grants: vec![grant("sandbox", &["echo"]), grant("gmail", &["send-email"])],
        ..new_key("another")
    };
    let other = world.keys().create_key(world.by(&owner, other)).await.expect("created");
    let other = other.into_inner().key.expect("a key");
    let (revoked, _) = world.key(&owner).await;
    let request = RevokeKeyRequest { key_id: revoked.id, ..Default::default() };
    world.keys().revoke_key(world.by(&owner, request)).await.expect("revoked");

    let named = release(&world, &owner, &["action.sandbox.fail"], false).await;
    assert_eq!((named.holder_count, named.outcome), (0, None));
    let named = release(&world, &owner, &[ECHO], false).await;
    let holders: Vec<_> = named.holders.iter().map(|holder| &*holder.key_id).collect();
    assert_eq!((holders, named.holder_count), (vec![&*key.id, &*other.id], 2));
    assert_eq!(named.outcome, None);
    assert_eq!(grants(&world, &owner, &key.id).await[0].1.len(), 2, "nothing happened");

    let taken = release(&world, &owner, &[ECHO], true).await;
    assert_eq!(taken.holder_count, 2);
    receipt(taken.outcome);
    let left = vec![("sandbox".to_owned(), vec![LIST.to_owned()])];
    assert_eq!(grants(&world, &owner, &key.id).await, left);
    // A grant of nothing is none.
    let left = grants(&world, &owner, &other.id).await;
    assert_eq!(left.iter().map(|(app, _)| &**app).collect::<Vec<_>>(), ["gmail"]);
    let again = release(&world, &owner, &[ECHO], true).await;
    assert_eq!(again.holder_count, 0);
    receipt(again.outcome);
}

#[tokio::test]
async fn a_whole_app_goes_and_no_other_teams_keys_are_touched() {
    let world = World::sqlite().await;
    let (owner, stranger) = (world.team().await, world.team().await);
    let (own, _) = world.key(&owner).await;
    let (foreign, _) = world.key(&stranger).await;
    for _ in 0..25 {
        world.key(&owner).await;
    }
    let taken = release(&world, &owner, &[], true).await;
    assert_eq!((taken.holder_count, taken.holders.len()), (26, 20));
    receipt(taken.outcome);
    assert_eq!(grants(&world, &owner, &own.id).await, []);
    assert_eq!(grants(&world, &stranger, &foreign.id).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let world = World::memory().await;
    let owner = world.team().await;
    let request = ReleaseComponentsRequest {
        team_id: owner.0.team.expect("a team").to_string(),
        app_key: "sandbox".to_owned(),
        components: vec![ECHO.to_owned(), "echo".to_owned()],
        ..Default::default()
    };
    let refused = World::refused(world.facts().release_components(request).await);
    assert_eq!((refused.kind, &*refused.faults[0].field), (ErrorKind::Invalid, "components[1]"));
}
