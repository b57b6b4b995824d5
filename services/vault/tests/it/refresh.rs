//! Refreshing: before the end, on 401, through outages, and once.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    Failure,
    capability::Capability,
    proto::vault::v1::{ConnectionStatus, TestConnectionRequest},
};
use keystile_domain::ConnectionId;
use keystile_testkit::{eventually, provider::Trouble};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    integrations::{client, configured},
    oauth::connected,
    world::{Vault, World},
};

/// An account, and the right to read with it.
async fn account(vault: &Vault, world: &World) -> (ConnectionId, Capability) {
    let own = configured(vault, client()).await;
    let id = connected(vault, world, &own.id).await;
    let mut capability = vault.capability("action.provider.me", Some(id));
    capability.integration = Some(own.id.parse().expect("an id"));
    (id, capability)
}

async fn status(vault: &Vault, id: ConnectionId) -> (ConnectionStatus, String) {
    let connection = vault.get(id).await.expect("there");
    (connection.status(), connection.status_reason)
}

/// How often a refresh token was sent.
fn refreshes(world: &World) -> usize {
    world.provider.exchanges().iter().filter(|e| e.grant_type == "refresh_token").count()
}

/// Time passes; the lease, which is a matter of seconds, is renewed.
async fn later(world: &World, vault: &Vault, by: Duration) {
    world.clock.advance(by);
    eventually("a lease", async || vault.service.ready().is_ok()).await;
}

async fn run(vault: &Vault, capability: &Capability) -> Result<u32, Failure> {
    vault.run(capability, json!({})).await.map(|(status, _)| status)
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_ends() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, capability) = account(&vault, &world).await;
    later(&world, &vault, Duration::from_secs(3600 * 79 / 100)).await;
    assert_eq!(run(&vault, &capability).await, Ok(200));
    assert_eq!(refreshes(&world), 0, "not before four fifths of its life");
    later(&world, &vault, Duration::from_secs(3600 * 12 / 100)).await;
    eventually("a refresh in the background", async || refreshes(&world) == 1).await;
    assert_eq!(status(&vault, id).await.0, ConnectionStatus::Active);
    // Long after the end of the first.
    later(&world, &vault, Duration::from_mins(30)).await;
    assert_eq!(run(&vault, &capability).await, Ok(200));
    vault.stop().await;
}

#[tokio::test]
async fn a_token_that_ended_is_refreshed_on_use_and_its_callers_share_that() {
    let world = World::new().await;
    let vault = world.start().await;
    let (_, capability) = account(&vault, &world).await;
    later(&world, &vault, Duration::from_hours(2)).await;
    let runs = (0..50).map(|_| run(&vault, &capability));
    for run in futures::future::join_all(runs).await {
        assert_eq!(run, Ok(200));
    }
    assert_eq!((refreshes(&world), world.provider.most_at_once()), (1, 1));
    vault.stop().await;
}

#[tokio::test]
async fn a_token_that_the_app_refuses_is_refreshed_once() {
    let world = World::new().await;
    let vault = world.start().await;
    let (_, capability) = account(&vault, &world).await;
    world.provider.end_access_tokens();
    let runs = (0..50).map(|_| run(&vault, &capability));
    for run in futures::future::join_all(runs).await {
        assert_eq!(run, Ok(200));
    }
    assert_eq!(refreshes(&world), 1);
    vault.stop().await;
}

#[tokio::test]
async fn an_outage_is_told_from_a_refusal() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, capability) = account(&vault, &world).await;
    later(&world, &vault, Duration::from_hours(2)).await;
    for _ in 0..2 {
        world.provider.trouble(Trouble::Status(503));
    }
    let failed = run(&vault, &capability).await.expect_err("an outage");
    assert_eq!(failed.reason, "connection_unusable");
    assert!(failed.message.contains("provider_unavailable"), "{}", failed.message);
    let failing = (ConnectionStatus::Failing, "provider_unavailable".to_owned());
    assert_eq!(status(&vault, id).await, failing);
    // Callers do not storm a provider that is down.
    assert!(run(&vault, &capability).await.is_err());
    assert_eq!(refreshes(&world), 0, "the one that was sent met the outage");
    // Tried again later, and then it recovers without a hand.
    eventually("it recovers", async || {
        world.clock.advance(Duration::from_mins(5));
        status(&vault, id).await.0 == ConnectionStatus::Active
    })
    .await;
    later(&world, &vault, Duration::ZERO).await;
    assert_eq!(run(&vault, &capability).await, Ok(200));

    later(&world, &vault, Duration::from_hours(2)).await;
    world.provider.revoke_all();
    let refused = run(&vault, &capability).await.expect_err("revoked");
    assert_eq!(refused.reason, "connection_unusable");
    let expired = (ConnectionStatus::Expired, "refused_by_provider".to_owned());
    assert_eq!(status(&vault, id).await, expired);
    let asked = refreshes(&world);
    later(&world, &vault, Duration::from_hours(2)).await;
    assert!(run(&vault, &capability).await.is_err());
    assert_eq!(refreshes(&world), asked, "a person must act");
    vault.stop().await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_a_lost_outcome() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, capability) = account(&vault, &world).await;
    later(&world, &vault, Duration::from_hours(2)).await;
    world.provider.trouble(Trouble::Answer("{}"));
    assert!(run(&vault, &capability).await.is_err());
    let lost = (ConnectionStatus::Expired, "refresh_outcome_unknown".to_owned());
    assert_eq!(status(&vault, id).await, lost);
    assert!(run(&vault, &capability).await.is_err());
    assert_eq!(refreshes(&world), 1);
    vault.stop().await;
}

#[tokio::test]
async fn what_one_vault_may_have_spent_no_other_sends_again() {
    let world = World::new().await;
    let first = world.start().await;
    let (id, capability) = account(&first, &world).await;
    let second = world.start().await;
    later(&world, &first, Duration::from_hours(2)).await;
    world.provider.trouble(Trouble::LoseAnswer);
    tokio::select! {
        answer = run(&first, &capability) => panic!("{answer:?}"),
        () = eventually("the token is sent", async || refreshes(&world) == 1) => {}
    }
    // Nobody knows what became of it. Once its claim has lapsed, that is what is said.
    later(&world, &second, Duration::from_secs(31)).await;
    let refused = run(&second, &capability).await.expect_err("lost");
    assert_eq!(refused.reason, "connection_unusable");
    let lost = (ConnectionStatus::Expired, "refresh_outcome_unknown".to_owned());
    assert_eq!(status(&second, id).await, lost);
    assert_eq!(refreshes(&world), 1);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn the_old_token_serves_until_the_new_one_is_stored() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, capability) = account(&vault, &world).await;
    let go_on = Arc::new(Notify::new());
    world.provider.trouble(Trouble::Hold(Arc::clone(&go_on)));
    later(&world, &vault, Duration::from_secs(3600 * 91 / 100)).await;
    eventually("a refresh is under way", async || refreshes(&world) == 1).await;
    assert_eq!(run(&vault, &capability).await, Ok(200));
    let before = vault.get(id).await.expect("there").expires_at;
    go_on.notify_one();
    eventually("it is stored", async || vault.get(id).await.expect("there").expires_at != before)
        .await;
    assert_eq!(run(&vault, &capability).await, Ok(200));
    vault.stop().await;
}

/// A token that the app still takes says nothing of a refresh token that may be spent.
#[tokio::test]
async fn a_test_lifts_no_connection_out_of_a_lost_outcome() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, _) = account(&vault, &world).await;
    world.provider.trouble(Trouble::Answer("{}"));
    later(&world, &vault, Duration::from_secs(3600 * 91 / 100)).await;
    let lost = (ConnectionStatus::Expired, "refresh_outcome_unknown".to_owned());
    eventually("a lost outcome", async || status(&vault, id).await == lost).await;
    let request = TestConnectionRequest { connection_id: id.to_string() };
    let tested = vault.connections().test_connection(vault.by_owner(request)).await;
    assert!(!tested.expect("tested").into_inner().ok);
    assert_eq!(status(&vault, id).await, lost);
    vault.stop().await;
}

#[tokio::test]
async fn a_token_that_is_good_for_no_time_is_asked_for_once() {
    let world = World::new().await;
    let vault = world.start().await;
    let (_, capability) = account(&vault, &world).await;
    world.provider.set_expires_in(0);
    later(&world, &vault, Duration::from_hours(2)).await;
    assert_eq!(run(&vault, &capability).await, Ok(200));
    assert_eq!(run(&vault, &capability).await, Ok(200));
    assert_eq!(refreshes(&world), 1);
    vault.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_a_provider_sends() {
    let world = World::new().await;
    let vault = world.start().await;
    let (id, capability) = account(&vault, &world).await;
    later(&world, &vault, Duration::from_hours(2)).await;
    let go_on = Arc::new(Notify::new());
    world.provider.trouble(Trouble::Hold(Arc::clone(&go_on)));
    tokio::select! {
        answer = run(&vault, &capability) => panic!("{answer:?}"),
        () = eventually("the token is sent", async || refreshes(&world) == 1) => {}
    }
    let stopped = vault.stop();
    tokio::pin!(stopped);
    // It is asked to end, and only then does the provider answer.
    assert!(futures::poll!(&mut stopped).is_pending());
    go_on.notify_one();
    stopped.await;
    let vault = world.start().await;
    assert_eq!(status(&vault, id).await.0, ConnectionStatus::Active);
    assert_eq!(run(&vault, &capability).await, Ok(200));
    assert_eq!(refreshes(&world), 1);
    vault.stop().await;
}
