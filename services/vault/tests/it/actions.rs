//! Running actions: the fence, the inputs, the answer.

use std::time::Duration;

use keystile_contract::{SealKeys, capability};
use keystile_domain::{ErrorKind, Position, Role, Scope, log::History};
use serde_json::json;

use crate::world::{CANARY, Vault, World, bearer, team, uuid};

async fn linked(world: &World) -> (Vault, keystile_contract::capability::Capability) {
    let vault = world.start().await;
    let connection = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.bearer.read-echo", Some(connection));
    (vault, capability)
}

#[tokio::test]
async fn what_the_app_answers_comes_back() {
    let world = World::new().await;
    let (vault, read) = linked(&world).await;
    let component =
        |name: &str| vault.capability(&format!("action.bearer.{name}"), read.connection);
    let (status, outputs) =
        vault.run(&component("write-echo"), json!({"title": "tea"})).await.expect("runs");
    assert_eq!((status, &outputs["body"]), (200, &json!(r#"{"title":"tea"}"#)));
    for (name, inputs, expected) in [
        ("status", json!({"code": 503}), (503, json!(null))),
        ("status", json!({"code": 401}), (401, json!(null))),
        ("text", json!({"q": "a"}), (200, json!("plain text"))),
    ] {
        assert_eq!(vault.run(&component(name), inputs).await, Ok(expected));
    }
    world.clock.advance(Duration::from_secs(1));
    let id = read.connection.expect("linked");
    keystile_testkit::eventually("the use is written", async || {
        vault.get(id).await.is_ok_and(|connection| connection.last_used_at.is_some())
    })
    .await;
    vault.stop().await;
}

#[tokio::test]
async fn bad_inputs_are_pointed_at_and_nothing_is_sent() {
    let world = World::new().await;
    let (vault, read) = linked(&world).await;
    let write = vault.capability("action.bearer.write-echo", read.connection);
    for (inputs, pointer) in [
        (json!({}), "/title"),
        (json!({"title": 7}), "/title"),
        (json!({"title": "far too long a title"}), "/title"),
        (json!({"title": "a", "more": 1}), "/more"),
    ] {
        let refused = vault.run(&write, inputs).await.expect_err("bad inputs");
        assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Invalid, "invalid_inputs"));
        assert_eq!(refused.faults[0].field, pointer);
    }
    let mut request = vault.run_request(&write, &json!({}));
    request.get_mut().inputs_json = b"{\"title\"".to_vec();
    assert_eq!(vault.send(request).await.expect_err("no JSON").kind, ErrorKind::Invalid);
    assert!(world.upstream.received().is_empty());
    vault.stop().await;
}

#[tokio::test]
async fn without_a_lease_nothing_starts() {
    let world = World::new().await;
    let vault = world.idle().await;
    let connection = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.bearer.read-echo", Some(connection));
    let refused = vault.run(&capability, json!({})).await.expect_err("no lease");
    assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Unavailable, "no_lease"));
    assert!(vault.service.ready().is_err());
    assert!(world.upstream.received().is_empty());
}

#[tokio::test]
async fn a_capability_older_than_a_cut_is_refused_with_what_is_needed() {
    let world = World::new().await;
    let (vault, old) = linked(&world).await;
    let connection = Scope::Connection(old.connection.expect("linked"));
    for scope in [Scope::Key(old.key), Scope::Team(old.team), connection] {
        let capability = capability::Capability { as_of: world.issuance.log.head(), ..old.clone() };
        assert!(vault.run(&capability, json!({})).await.is_ok());
        let cut = world.issuance.log.commit(scope);
        vault.heard_of(cut, &capability).await;
        let stale = vault.run(&capability, json!({})).await.expect_err("older than the cut");
        assert_eq!(stale.reason, "stale_capability");
        assert_eq!(stale.needed_position(), Some(cut));
    }
    let foreign = Position { history: History { database: [9; 16], timeline: 0 }, seq: 99 };
    let capability = capability::Capability { as_of: foreign, ..old };
    let stale = vault.run(&capability, json!({})).await.expect_err("of another history");
    assert_eq!(stale.needed_position(), Some(world.issuance.log.head()));
    vault.stop().await;
}

#[tokio::test]
async fn only_a_capability_for_that_component_sealed_for_vault_is_taken() {
    let world = World::new().await;
    let (vault, own) = linked(&world).await;
    let mut request = vault.run_request(&own, &json!({}));
    request.get_mut().component = "action.bearer.write-echo".to_owned();
    let refused = vault.send(request).await.expect_err("for another component");
    assert_eq!(
        (refused.kind, refused.reason.as_str()),
        (ErrorKind::Forbidden, "capability_mismatch")
    );

    let mut bare = vault.run_request(&own, &json!({}));
    bare.metadata_mut().clear();
    assert_eq!(vault.send(bare).await.expect_err("none").kind, ErrorKind::Unauthenticated);

    let forger = SealKeys::derive(Role::Verification, &[(1, [8; 32])]);
    let true_keys = SealKeys::derive(Role::Verification, &[(1, [7; 32])]);
    let now = keystile_domain::Clock::now(&world.clock);
    for sealed in [
        own.seal(Role::Vault, &forger, now),
        own.seal(Role::Triggers, &true_keys, now),
        own.seal(Role::Vault, &true_keys, now - Duration::from_mins(1)),
    ] {
        let mut request = vault.run_request(&own, &json!({}));
        capability::attach(request.metadata_mut(), &sealed.expect("sealed"));
        let refused = vault.send(request).await.expect_err("not for vault, or late");
        assert_eq!(refused.kind, ErrorKind::Unauthenticated);
    }
    assert!(world.upstream.received().is_empty());
    vault.stop().await;
}

#[tokio::test]
async fn a_connection_serves_its_team_and_app_only() {
    let world = World::new().await;
    let (vault, own) = linked(&world).await;
    let of_other_app = vault.capability("action.header.read-echo", own.connection);
    let of_other_team = capability::Capability { team: team(2), ..own.clone() };
    let without = capability::Capability { connection: None, ..own.clone() };
    let unknown = keystile_domain::ConnectionId::from_uuid(uuid(99));
    let of_none = capability::Capability { connection: Some(unknown), ..own.clone() };
    for capability in [of_other_app, of_other_team, without, of_none] {
        let refused = vault.run(&capability, json!({})).await.expect_err("not its own");
        assert_eq!(refused.reason, "connection_unusable");
    }
    assert!(world.upstream.received().is_empty());

    let open = vault.capability("action.open.read-echo", None);
    assert_eq!(vault.run(&open, json!({})).await.expect("needs none").0, 200);
    vault.stop().await;
}

#[tokio::test]
async fn trouble_on_the_way_has_a_reason() {
    let world = World::new().await;
    let (vault, own) = linked(&world).await;
    let component = |name: &str| vault.capability(&format!("action.bearer.{name}"), own.connection);
    let large = vault.run(&component("bytes"), json!({"count": 4096})).await;
    assert!(large.is_ok());
    let larger = vault.run(&component("bytes"), json!({"count": 4097})).await.expect_err("large");
    assert_eq!((larger.kind, larger.reason.as_str()), (ErrorKind::Upstream, "response_too_large"));

    let mut request = vault.run_request(&component("never"), &json!({"q": "a"}));
    request.set_timeout(Duration::from_millis(150));
    let late = vault.send(request).await.expect_err("never answers");
    assert_eq!((late.kind, late.reason.as_str()), (ErrorKind::Timeout, "upstream_timeout"));

    let inside = vault.link("inside", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.inside.read-echo", Some(inside));
    let refused = vault.run(&capability, json!({})).await.expect_err("a loopback address");
    assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Upstream, "address_refused"));
    for failure in [larger, late, refused] {
        assert!(!format!("{failure:?}").contains(CANARY));
    }
    vault.stop().await;
}
