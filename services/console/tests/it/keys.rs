//! What keys show of the connections behind them.

use axum::http::StatusCode;
use keystile_contract::{
    Failure,
    proto::{common::v1::Grant, issuance::v1::Key, vault::v1::ConnectionStatus},
};
use keystile_domain::{Clock as _, ConnectionId, ErrorKind};
use keystile_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::{
    connections::connection,
    world::{World, new_key},
};

const KEYS: &str = "/api/manage/v1/keys";

#[tokio::test]
async fn a_connection_that_breaks_later_shows_on_every_key_that_uses_it() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let id = connection(&world, &owner).await;
    let mut body = new_key("dev");
    body["connections"][0]["connectionId"] = json!(id);
    let made = world.post(&owner, KEYS, body).await;
    let key = made.body["key"]["id"].as_str().expect("an id").to_owned();
    let _ = world.post(&owner, KEYS, new_key("dev")).await;
    let grants = || async {
        let one = world.get(&owner, &format!("{KEYS}/{key}")).await;
        let all = world.get(&owner, KEYS).await;
        assert_eq!((one.status, all.status), (StatusCode::OK, StatusCode::OK), "{one:?}");
        let items = all.body["items"].as_array().expect("items");
        let same = items.iter().find(|item| item["id"] == *key).expect("the key");
        assert_eq!(*same, one.body);
        let other = items.iter().find(|item| item["id"] != *key).expect("another");
        assert_eq!(other["connections"][0]["connectionStatus"], Value::Null, "it has none");
        let grant = &one.body["connections"][0];
        (grant["connectionStatus"].clone(), grant["connectionStatusReason"].clone())
    };
    assert_eq!(grants().await, (json!("active"), Value::Null));
    {
        let mut rows = world.vault.rows();
        rows.connections[0].1.set_status(ConnectionStatus::Expired);
        "invalid_grant".clone_into(&mut rows.connections[0].1.status_reason);
    }
    assert_eq!(grants().await, (json!("expired"), json!("invalid_grant")));

    let down = Failure::new(ErrorKind::Unavailable, "unavailable", "vault is down");
    world.vault.rows().refusal = Some(down);
    assert_eq!(grants().await, (Value::Null, Value::Null), "shown, and not known");
    world.vault.rows().refusal = None;
    world.vault.rows().connections.clear();
    assert_eq!(grants().await, (json!("deleted"), Value::Null));
}

#[tokio::test]
async fn the_connections_of_a_page_of_keys_are_asked_for_once_in_batches() {
    let world = World::new().await;
    let (made, owner) = world.team("ada@example.com").await;
    let id = connection(&world, &owner).await;
    let _ = world.post(&owner, KEYS, new_key("dev")).await;
    let entropy = SeededEntropy::new(9);
    let mut grants: Vec<_> = (0..250)
        .map(|_| ConnectionId::generate(world.clock.now(), &entropy).to_string())
        .chain([id.clone(), id])
        .map(|connection_id| Grant { connection_id, ..Grant::default() })
        .collect();
    grants.reverse();
    for (_, key) in world.issuance.rows().keys.values_mut() {
        key.grants.clone_from(&grants);
    }
    let twin = world.issuance.rows().keys.values().next().map(|(_, key)| key.clone());
    let twin = Key { id: "key_twin".to_owned(), ..twin.expect("a key") };
    world.issuance.rows().keys.insert(twin.id.clone(), (made.team, twin));
    let listed = world.get(&owner, KEYS).await;
    assert_eq!(world.vault.rows().batches, [200, 51], "each once, whoever uses it");
    for key in listed.body["items"].as_array().expect("items") {
        let states = key["connections"].as_array().expect("grants").iter();
        let states: Vec<_> = states.map(|grant| &grant["connectionStatus"]).collect();
        assert_eq!(states.len(), 252);
        assert_eq!(states[..2], ["active", "active"]);
        assert!(states[2..].iter().all(|state| *state == "deleted"));
    }
}
