//! Another team's ids are not found, whatever is done with them (threat 33).

use keystile_contract::{
    Failure,
    convert::timestamp,
    proto::issuance::v1::{
        DeleteKeyRequest, DisableKeyRequest, EnableKeyRequest, EndOverlapRequest, GetCutRequest,
        GetKeyRequest, GetTeamRequest, ListAuditRequest, ListKeysRequest, PutGrantRequest,
        RegenerateKeyRequest, RemoveGrantRequest, RevokeKeyRequest, RotateKeyRequest,
        UpdateKeyRequest,
    },
};
use keystile_domain::{Clock, ErrorKind, KeyId, OperationId, TeamId};

use crate::world::{World, grant};

/// Calls every method that takes an id of a key with `id`, as `person`.
macro_rules! every_key_method {
    ($world:expr, $person:expr, $id:expr, [$($method:ident: $request:ident { $($field:ident: $value:expr),* }),* $(,)?]) => {{
        let mut refusals: Vec<(&str, Failure)> = Vec::new();
        $(
            let request = $request { key_id: $id.clone(), $($field: $value,)* ..Default::default() };
            let result = $world.keys().$method($world.by($person, request)).await;
            refusals.push((stringify!($method), World::refused(result)));
        )*
        refusals
    }};
}

#[tokio::test]
async fn another_teams_key_is_answered_exactly_as_one_that_never_was() {
    for world in [World::sqlite().await, World::memory().await] {
        let (owner, stranger) = (world.team().await, world.team().await);
        let (key, _) = world.key(&owner).await;
        let unknown = KeyId::generate(world.clock.now(), world.entropy()).to_string();
        let head = world.store.epoch().await.expect("read").head;
        let mut answers = Vec::new();
        for id in [key.id.clone(), unknown] {
            let end = Some(timestamp(world.clock.now() + time::Duration::hours(1)));
            let mut refusals = every_key_method!(world, &stranger, id, [
                update_key: UpdateKeyRequest { name: Some("mine".into()) },
                put_grant: PutGrantRequest { grant: Some(grant("sandbox", &["echo"])) },
                remove_grant: RemoveGrantRequest { app_key: "sandbox".into() },
                disable_key: DisableKeyRequest {},
                enable_key: EnableKeyRequest {},
                regenerate_key: RegenerateKeyRequest {},
                rotate_key: RotateKeyRequest { overlap_ends_at: end },
                end_overlap: EndOverlapRequest {},
                revoke_key: RevokeKeyRequest {},
                delete_key: DeleteKeyRequest {},
            ]);
            let request = world.by(&stranger, GetKeyRequest { key_id: id });
            refusals.push(("get_key", World::refused(world.keys().get_key(request).await)));
            answers.push(refusals);
        }
        assert_eq!(answers[0], answers[1], "a foreign id looks like an unknown one");
        assert_eq!(answers[0].len(), 11);
        for (method, refused) in &answers[0] {
            assert_eq!(refused.kind, ErrorKind::NotFound, "{method}");
        }
        assert_eq!(world.store.epoch().await.expect("read").head, head, "nothing changed");
    }
}

#[tokio::test]
async fn another_teams_changes_team_keys_and_trail_are_not_to_be_seen() {
    let world = World::sqlite().await;
    let (owner, stranger) = (world.team().await, world.team().await);
    let (key, _) = world.key(&owner).await;
    let operation_id = world.operation();
    let request = RevokeKeyRequest { key_id: key.id.clone(), operation_id: operation_id.clone() };
    world.keys().revoke_key(world.by(&owner, request)).await.expect("revoked");

    let unknown = OperationId::generate(world.clock.now(), world.entropy()).to_string();
    let mut refusals = Vec::new();
    for operation_id in [operation_id, unknown] {
        let request = world.by(&stranger, GetCutRequest { operation_id });
        refusals.push(World::refused(world.keys().get_cut(request).await));
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(refusals[0].kind, ErrorKind::NotFound);

    let unknown = TeamId::generate(world.clock.now(), world.entropy());
    let mut refusals = Vec::new();
    for team in [owner.0.team.expect("a team"), unknown] {
        let request = world.by(&stranger, GetTeamRequest { team_id: team.to_string() });
        refusals.push(World::refused(world.teams().get_team(request).await));
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(refusals[0].kind, ErrorKind::NotFound);

    let request = world.by(&stranger, ListKeysRequest::default());
    assert!(world.keys().list_keys(request).await.expect("listed").into_inner().keys.is_empty());
    let request = ListAuditRequest { subject_id: key.id, ..Default::default() };
    let audit = world.keys().list_audit(world.by(&stranger, request)).await.expect("listed");
    assert!(audit.into_inner().entries.is_empty());
}
