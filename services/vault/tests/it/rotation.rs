//! Rotation of keys while vault runs: threat 15, but for the kill, which is of the binary.

use std::{collections::BTreeMap, sync::Arc};

use keystile_contract::{
    Failure,
    proto::vault::v1::{ConnectResult, CreateConnectionRequest},
};
use keystile_domain::{ConnectionId, ErrorKind, MemberRole};
use keystile_testkit::eventually;
use keystile_vault::{Error, Rotation, rotation::Progress};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;

use crate::{
    integrations::{client, configured},
    oauth::{Browser, connect, connected},
    world::{CANARY, Vault, World, bearer, team},
};

const NOBODY: &(dyn Fn(Progress) + Send + Sync) = &|_| {};

/// An operator beside the processes of vault, who has the same file.
async fn operator(world: &World) -> Rotation {
    let (clock, entropy) = (Arc::new(world.clock.clone()), world.entropy.clone());
    let opened =
        Rotation::open(world.database().await, Arc::new(world.ring()), clock, entropy).await;
    opened.expect("opens")
}

fn add_kek(world: &World, version: u32) {
    world.keks.lock().expect("nobody panicked").push(version);
}

async fn link(vault: &Vault, owner: u128) -> Result<ConnectionId, Failure> {
    let request = CreateConnectionRequest {
        app_key: "bearer".to_owned(),
        name: format!("of team {owner}"),
        credential: Some(bearer(CANARY)),
        server_variables: [].into(),
    };
    let request = vault.by(team(owner), MemberRole::Owner, request);
    let answer = vault.connections().create_connection(request).await?.into_inner();
    Ok(answer.connection.expect("a connection").id.parse().expect("an id"))
}

async fn run(vault: &Vault, owner: u128, id: ConnectionId) -> Result<u32, Failure> {
    let mut capability = vault.capability("action.bearer.read-echo", Some(id));
    capability.team = team(owner);
    vault.run(&capability, json!({})).await.map(|(status, _)| status)
}

/// A connection of each of so many teams.
async fn linked(vault: &Vault, teams: u128) -> Vec<(u128, ConnectionId)> {
    let mut all = Vec::new();
    for owner in 1..=teams {
        all.push((owner, link(vault, owner).await.expect("linked")));
    }
    all
}

async fn all_open(vault: &Vault, connections: &[(u128, ConnectionId)]) {
    for (owner, id) in connections {
        assert_eq!(run(vault, *owner, *id).await, Ok(200), "team {owner}");
    }
}

/// Brings version 2 into use, whoever has it.
async fn to_version_2(rotation: &Rotation) -> u64 {
    rotation.raise(2).await.expect("is here");
    rotation.rewrap(NOBODY).await.expect("works")
}

async fn number(world: &World, sql: &str) -> i64 {
    let statement = Statement::from_string(DbBackend::Sqlite, sql);
    let database = world.database().await;
    let row = database.read().query_one_raw(statement).await.expect("reads").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

#[tokio::test]
async fn a_key_encryption_key_is_rotated_while_vault_runs() {
    let world = World::new().await;
    let vault = world.start().await;
    let connections = linked(&vault, 20).await;

    add_kek(&world, 2);
    let rotation = operator(&world).await;
    assert!(rotation.state().await.expect("works").is_unfinished());
    rotation.announce(2).await.expect("is here");
    eventually("vault has it", async || {
        rotation.processes(2).await.is_ok_and(|(_, none)| none == 0)
    })
    .await;
    assert_eq!(rotation.processes(2).await.expect("works"), (1, 0));
    // Announced is not in use.
    let before = link(&vault, 30).await.expect("linked");
    assert_eq!(rotation.state().await.expect("works").data_keys, BTreeMap::from([(1, 21)]));

    rotation.raise(2).await.expect("is here");
    let between = link(&vault, 31).await.expect("linked");
    let state = rotation.state().await.expect("works");
    assert_eq!(state.data_keys, BTreeMap::from([(1, 21), (2, 1)]));
    assert_eq!(rotation.rewrap(NOBODY).await.expect("works"), 21);

    let state = rotation.state().await.expect("works");
    assert_eq!((state.wrapping, state.data_keys), (2, BTreeMap::from([(2, 22)])));
    assert_eq!(rotation.rewrap(NOBODY).await.expect("works"), 0, "a second run has nothing to do");
    all_open(&vault, &connections).await;
    all_open(&vault, &[(30, before), (31, between)]).await;
    vault.stop().await;

    // The old one is not needed.
    world.build(&[2]).await.expect("starts without the old one");
}

#[tokio::test]
async fn a_process_that_heard_of_nothing_reads_the_key_that_it_lacks_when_it_needs_it() {
    let world = World::new().await;
    // One that never looks: it has no background.
    let deaf = world.idle().await;
    let vault = world.start().await;
    let id = link(&vault, 1).await.expect("linked");
    add_kek(&world, 2);
    let rotation = operator(&world).await;
    assert_eq!(to_version_2(&rotation).await, 1);
    // It seals for a team that has no data key yet, and for one whose data key was re-wrapped.
    link(&deaf, 2).await.expect("linked");
    link(&deaf, 1).await.expect("linked");
    assert_eq!(rotation.state().await.expect("works").data_keys, BTreeMap::from([(2, 2)]));
    all_open(&vault, &[(1, id)]).await;
    vault.stop().await;
}

#[tokio::test]
async fn a_process_that_cannot_have_the_key_is_counted_and_writes_nothing_under_the_old_one() {
    let world = World::new().await;
    let vault = world.start().await;
    let id = link(&vault, 1).await.expect("linked");
    // A file on another host.
    add_kek(&world, 2);
    let rotation = operator(&world).await;
    *world.keks.lock().expect("nobody panicked") = vec![1];

    rotation.announce(2).await.expect("is here");
    assert_eq!(rotation.processes(2).await.expect("works"), (1, 1));
    // An operator who goes on all the same.
    assert_eq!(to_version_2(&rotation).await, 1);
    for refused in [link(&vault, 2).await.map(drop), run(&vault, 1, id).await.map(drop)] {
        let refused = refused.expect_err("it has no such key");
        assert_eq!((refused.kind, &*refused.reason), (ErrorKind::Internal, "internal"));
        assert!(!format!("{refused:?}").contains("version"), "{refused:?}");
    }
    assert_eq!(rotation.state().await.expect("works").data_keys, BTreeMap::from([(2, 1)]));
    assert!(world.upstream.received().is_empty());

    *world.keks.lock().expect("nobody panicked") = vec![1, 2];
    all_open(&vault, &[(1, id)]).await;
    vault.stop().await;
    eventually("gone", async || rotation.processes(2).await.is_ok_and(|count| count == (0, 0)))
        .await;
}

#[tokio::test]
async fn two_rotations_at_once_do_each_data_key_once() {
    let world = World::new().await;
    let vault = world.start().await;
    let connections = linked(&vault, 30).await;
    add_kek(&world, 2);
    let (one, other) = (operator(&world).await, operator(&world).await);
    let (one, other) = tokio::join!(to_version_2(&one), to_version_2(&other));
    assert_eq!(one + other, 30);
    all_open(&vault, &connections).await;
    vault.stop().await;
}

#[tokio::test]
async fn a_data_key_that_does_not_open_ends_the_rewrap_by_its_name() {
    let world = World::new().await;
    let vault = world.idle().await;
    linked(&vault, 2).await;
    let broken = "UPDATE data_keys SET wrapped = zeroblob(61) WHERE team_id IN (SELECT team_id FROM \
                  connections WHERE name = 'of team 2')";
    world.database().await.read().execute_unprepared(broken).await.expect("tampered");
    add_kek(&world, 2);
    let rotation = operator(&world).await;
    rotation.raise(2).await.expect("is here");
    let failed = rotation.rewrap(NOBODY).await.expect_err("does not open");
    assert!(matches!(failed, Error::Unopened { what: "data key", .. }), "{failed}");
    assert!(failed.to_string().contains(&team(2).to_string()), "{failed}");
    assert!(rotation.state().await.expect("works").is_unfinished());
    assert!(matches!(rotation.raise(3).await, Err(Error::Seal(_))), "it is not here");
}

/// Ids of data keys, as sealed values name them.
const UNDER: &str = "SELECT COUNT(*) FROM connections WHERE credential IS NOT NULL AND \
                     substr(credential, 2, 16) NOT IN (SELECT id FROM data_keys WHERE retired_at \
                     IS NULL)";

#[tokio::test]
async fn a_data_key_is_replaced_while_vault_runs() {
    let world = World::new().await;
    let vault = world.start().await;
    let mut connections = linked(&vault, 3).await;
    for _ in 0..20 {
        connections.push((1, link(&vault, 1).await.expect("linked")));
    }
    vault.delete(connections[3].1).await.expect("deleted");
    connections.remove(3);
    let rotation = operator(&world).await;
    assert_eq!(rotation.teams().await.expect("works"), [team(1), team(2), team(3)]);

    let done = rotation.reseal(team(1), NOBODY).await.expect("works");
    assert_eq!((done.values, done.replaced), (20, true));
    all_open(&vault, &connections).await;
    connections.push((1, link(&vault, 1).await.expect("linked")));
    assert_eq!(number(&world, UNDER).await, 0);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM data_keys").await, 4);
    // An interrupted run goes on: it makes no other data key.
    let again = rotation.reseal(team(1), NOBODY).await.expect("works");
    assert_eq!((again.values, again.replaced), (0, false));
    assert_eq!(rotation.remove_retired(team(1)).await.expect("works"), 1);
    assert_eq!(rotation.reseal_rest(team(1)).await.expect("works"), 0);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM data_keys").await, 3);
    // Each value was counted.
    let uses = "SELECT MAX(uses) FROM data_keys";
    assert_eq!(number(&world, uses).await, 21);
    all_open(&vault, &connections).await;
    vault.stop().await;
}

#[tokio::test]
async fn connections_that_are_made_while_a_data_key_is_replaced_open_afterwards() {
    let world = World::new().await;
    let vault = world.start().await;
    let mut connections = linked(&vault, 1).await;
    let (one, other) = (operator(&world).await, operator(&world).await);
    let rotate = async |rotation: &Rotation| {
        for _ in 0..5 {
            rotation.reseal(team(1), NOBODY).await.expect("works");
            rotation.remove_retired(team(1)).await.expect("works");
        }
    };
    let make = async {
        let mut made = Vec::new();
        for _ in 0..60 {
            match link(&vault, 1).await {
                Ok(id) => made.push((1, id)),
                // Sealed under a data key that was removed before it was stored: not stored.
                Err(refused) => assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused:?}"),
            }
        }
        made
    };
    let (made, (), ()) = tokio::join!(make, rotate(&one), rotate(&other));
    connections.extend(made);
    all_open(&vault, &connections).await;
    one.reseal(team(1), NOBODY).await.expect("works");
    one.remove_retired(team(1)).await.expect("works");
    assert_eq!(number(&world, UNDER).await, 0);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM data_keys WHERE retired_at IS NULL").await, 1);
    all_open(&vault, &connections).await;
    vault.stop().await;
}

#[tokio::test]
async fn a_value_that_does_not_open_ends_the_rotation_by_its_name() {
    let world = World::new().await;
    let vault = world.idle().await;
    let connections = linked(&vault, 1).await;
    let rotation = operator(&world).await;
    for tampering in [
        "UPDATE connections SET credential_version = 7",
        // As if under a data key that is not there.
        "UPDATE connections SET credential = x'01' || randomblob(80)",
    ] {
        world.database().await.read().execute_unprepared(tampering).await.expect("tampered");
        let failed = rotation.reseal(team(1), NOBODY).await.expect_err("does not open");
        let Error::Unopened { what: named, id, .. } = failed else { panic!("{failed}") };
        assert_eq!((named, id), ("connection-credential", connections[0].1.to_string()));
    }
}

/// What a table keeps sealed and does not list would be lost with its old data key.
#[tokio::test]
async fn everything_that_is_sealed_survives_the_rotation_of_data_keys() {
    let world = World::new().await;
    let vault = world.start().await;
    let own = configured(&vault, client()).await;
    let id = connected(&vault, &world, &own.id).await;
    let ticket = connect(&vault, &own.id).await.expect("started");
    let browser = Browser::open(&vault, &own.id, &ticket).await;
    let back = world.provider.consent(&browser.begin().await.expect("begun"));
    let mut capability = vault.capability("action.provider.me", Some(id));
    capability.integration = Some(own.id.parse().expect("an id"));
    let once = async || {
        let mut request = vault.run_request(&capability, &json!({}));
        request.get_mut().idempotency_key = "once".to_owned();
        vault.send(request).await.expect("runs").replayed
    };
    assert!(!once().await);

    let rotation = operator(&world).await;
    let resealed = rotation.reseal(team(1), NOBODY).await.expect("works");
    assert_eq!(resealed.values, 4, "a client, a credential, a flow, an answer");
    rotation.remove_retired(team(1)).await.expect("works");
    let listed = SEALED_TABLES.iter().map(|table| format!("SELECT id FROM {table}"));
    let rows = listed.collect::<Vec<_>>().join(" UNION ALL ");
    assert_eq!(number(&world, &format!("SELECT count(*) FROM ({rows})")).await, 4);

    assert!(once().await, "the answer");
    assert_eq!(browser.arrive(&back).await.expect("ended").result(), ConnectResult::Connected);
    world.provider.end_access_tokens();
    assert_eq!(vault.run(&capability, json!({})).await.expect("runs").0, 200, "client and tokens");
    vault.stop().await;
}

const SEALED_TABLES: [&str; 4] = ["integrations", "connections", "connect_flows", "idempotency"];
