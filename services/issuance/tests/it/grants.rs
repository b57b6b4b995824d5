//! Grants: what vault says of them, narrowing, removing, *no access*.

use keystile_contract::proto::{
    common::v1::Grant,
    issuance::v1::{GetKeyRequest, PutGrantRequest, RemoveGrantRequest},
};
use keystile_domain::{Clock, ConnectionId, ErrorKind, IntegrationId};

use crate::world::{World, grant, new_key, receipt};

#[tokio::test]
async fn what_vault_says_of_a_grant_reaches_the_caller_by_its_field() {
    let world = World::memory().await;
    let owner = world.team().await;
    let echo = "action.sandbox.echo";
    let list = "action.sandbox.list-items";
    for (problem, kind, reason, field) in [
        (("", "unknown_app"), ErrorKind::Invalid, "unknown_app", "app_key"),
        (
            (list, "unknown_component"),
            ErrorKind::Invalid,
            "unknown_component",
            "allowed_components[1]",
        ),
        (("", "connection_required"), ErrorKind::Invalid, "connection_required", "connection_id"),
        (("", "connection_not_found"), ErrorKind::Invalid, "connection_not_found", "connection_id"),
        (
            ("", "connection_of_another_app"),
            ErrorKind::Invalid,
            "connection_of_another_app",
            "connection_id",
        ),
        (("", "expired"), ErrorKind::Conflict, "connection_unusable", "connection_id"),
        (("", "revoked"), ErrorKind::Conflict, "connection_unusable", "connection_id"),
        (
            (echo, "missing_scopes"),
            ErrorKind::Conflict,
            "connection_unusable",
            "allowed_components[0]",
        ),
        (("", "failing"), ErrorKind::Conflict, "connection_unusable", "connection_id"),
        (("", "integration_disabled"), ErrorKind::Conflict, "connection_unusable", "connection_id"),
    ] {
        world.vault.answer(&[problem], "");
        let result = world.keys().create_key(world.by(&owner, new_key("a key"))).await;
        let refused = World::refused(result);
        assert_eq!((refused.kind, refused.reason.as_str()), (kind, reason), "{problem:?}");
        assert_eq!(refused.faults[0].field, format!("grants[0].{field}"));
        assert_eq!(refused.facts.get("problem").map(String::as_str), Some(problem.1));
    }
    world.vault.answer(&[], "");
    let (key, _) = world.key(&owner).await;
    world.vault.answer(&[("action.gmail.send-email", "unknown_component")], "");
    let request = PutGrantRequest {
        key_id: key.id,
        grant: Some(grant("gmail", &["send-email"])),
        ..Default::default()
    };
    let refused = World::refused(world.keys().put_grant(world.by(&owner, request)).await);
    assert_eq!(refused.faults[0].field, "grant.allowed_components[0]");
}

#[tokio::test]
async fn a_grant_keeps_the_integration_that_vault_named_and_ignores_the_callers() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (now, entropy) = (world.clock.now(), world.entropy());
    let named = IntegrationId::generate(now, entropy).to_string();
    let claimed = IntegrationId::generate(now, entropy).to_string();
    let connection = ConnectionId::generate(now, entropy).to_string();
    world.vault.answer(&[], &named);
    let mut request = new_key("a key");
    request.grants[0].integration_id = claimed;
    request.grants[0].connection_id.clone_from(&connection);
    let created = world.keys().create_key(world.by(&owner, request)).await.expect("created");
    let stored = &created.into_inner().key.expect("a key").grants[0];
    assert_eq!(stored.integration_id, named);
    assert_eq!(stored.connection_id, connection);
}

#[tokio::test]
async fn putting_a_grant_is_a_cut_exactly_when_it_narrows() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let connection = ConnectionId::generate(world.clock.now(), world.entropy()).to_string();
    for (what, put, cut) in [
        ("another app", grant("gmail", &["send-email"]), false),
        ("wider", grant("sandbox", &["echo", "fail", "list-items"]), false),
        ("narrower", grant("sandbox", &["echo"]), true),
        ("swapped", grant("sandbox", &["list-items"]), true),
        (
            "another account",
            Grant { connection_id: connection, ..grant("sandbox", &["list-items"]) },
            true,
        ),
    ] {
        let request = PutGrantRequest {
            key_id: key.id.clone(),
            grant: Some(put.clone()),
            ..Default::default()
        };
        let answer = world.keys().put_grant(world.by(&owner, request)).await.expect(what);
        let answer = answer.into_inner();
        assert_eq!(answer.outcome.expect("an outcome").receipt.is_some(), cut, "{what}");
        assert!(answer.key.expect("a key").grants.contains(&put), "{what}");
    }
    let request = world.by(&owner, GetKeyRequest { key_id: key.id });
    let got = world.keys().get_key(request).await.expect("found").into_inner();
    assert_eq!(got.key.expect("a key").grants.len(), 2, "one grant an app");
}

#[tokio::test]
async fn removing_the_last_grant_leaves_a_key_without_access() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let request = || RemoveGrantRequest {
        key_id: key.id.clone(),
        app_key: "sandbox".into(),
        ..Default::default()
    };
    let answer = world.keys().remove_grant(world.by(&owner, request())).await.expect("removed");
    let answer = answer.into_inner();
    assert!(answer.key.expect("a key").grants.is_empty());
    let seq = receipt(answer.outcome).seq;
    let again = world.keys().remove_grant(world.by(&owner, request())).await.expect("removed");
    assert_eq!(receipt(again.into_inner().outcome).seq, seq);
}
