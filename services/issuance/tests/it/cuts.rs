//! The barrier behind a cut (design §6.3, I3). Time is tokio's and paused: nothing really waits.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    convert::from_duration,
    proto::{
        common::v1::{Outcome, Receipt},
        issuance::v1::{
            GetCutRequest, ListAuditRequest, RegenerateKeyRequest, RevokeKeyRequest,
            UpdateKeyRequest, WatchRequest,
        },
    },
};
use keystile_domain::{
    Clock,
    log::{History, Nonce},
};
use keystile_issuance::{Config, lease::Terms, store::memory::MemoryStore};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    followers::Follower,
    world::{HISTORY, MOMENT, Person, World, receipt, ring},
};

fn elapsed(receipt: &Receipt) -> Duration {
    from_duration(receipt.elapsed.as_ref()).expect("a time")
}

/// Revokes a new key of `owner` in the background.
async fn revoke(
    world: &World,
    owner: &Person,
    timeout: Option<Duration>,
) -> tokio::task::JoinHandle<Option<Outcome>> {
    let (key, _) = world.key(owner).await;
    let mut request =
        world.by(owner, RevokeKeyRequest { key_id: key.id, operation_id: world.operation() });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let mut keys = world.keys();
    tokio::spawn(
        async move { keys.revoke_key(request).await.expect("revoked").into_inner().outcome },
    )
}

#[tokio::test(start_paused = true)]
async fn a_cut_returns_when_every_follower_acknowledged_by_renewal() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut followers = [Follower::register(&world).await, Follower::register(&world).await];
    let cut = revoke(&world, &owner, None).await;
    tokio::time::sleep(MOMENT).await;
    followers[0].catch_up().await;
    tokio::time::sleep(MOMENT).await;
    assert!(!cut.is_finished(), "one is missing");
    followers[1].catch_up().await;
    let receipt = receipt(cut.await.expect("joins"));
    assert_eq!((receipt.acknowledged, receipt.waited_out), (2, 0));
    assert!(elapsed(&receipt) < Duration::from_millis(500), "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_returns_when_a_watcher_acknowledged_on_its_stream() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut follower = Follower::register(&world).await;
    let (acknowledge, requests) = mpsc::channel(4);
    acknowledge.send(follower.opening()).await.expect("open");
    let mut rows =
        follower.log.watch(ReceiverStream::new(requests)).await.expect("watching").into_inner();
    let cut = revoke(&world, &owner, None).await;
    let last = loop {
        let pushed = rows.message().await.expect("open").expect("rows").rows;
        acknowledge.send(follower.acknowledgement(&pushed)).await.expect("open");
        let last = pushed.last().expect("at least one");
        if last.cut {
            break last.seq;
        }
    };
    let receipt = receipt(cut.await.expect("joins"));
    assert_eq!((receipt.acknowledged, receipt.waited_out), (1, 0));
    assert_eq!(receipt.seq, last);
}

#[tokio::test(start_paused = true)]
async fn a_cut_waits_w_for_a_follower_that_does_not_acknowledge_and_no_longer() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut heard = Follower::register(&world).await;
    Follower::register(&world).await;
    let cut = revoke(&world, &owner, None).await;
    tokio::time::sleep(MOMENT).await;
    heard.catch_up().await;
    let receipt = receipt(cut.await.expect("joins"));
    assert_eq!((receipt.acknowledged, receipt.waited_out), (1, 1));
    let (elapsed, w) = (elapsed(&receipt), Terms::default().wait());
    assert!(elapsed >= w && elapsed < w + MOMENT, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_less_or_of_another_history_counts_for_nothing() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut follower = Follower::register(&world).await;
    let (acknowledge, requests) = mpsc::channel(4);
    let head = follower.begun.head.clone().expect("a head");
    let message = |applied| WatchRequest {
        incarnation: follower.incarnation.clone(),
        applied: Some(applied),
        applied_nonce: follower.begun.head_nonce.clone(),
    };
    acknowledge.send(follower.opening()).await.expect("open");
    let _rows = follower.log.watch(ReceiverStream::new(requests)).await.expect("watching");
    let cut = revoke(&world, &owner, None).await;
    let mut foreign = head.clone();
    foreign.history = History { database: [1; 16], timeline: 0 }.to_string();
    foreign.seq = 1_000;
    acknowledge.send(message(foreign)).await.expect("open");
    let mut less = head;
    less.seq += 1;
    acknowledge.send(message(less)).await.expect("open");
    assert_eq!(receipt(cut.await.expect("joins")).waited_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cut_waits_out_the_lease_that_each_follower_was_given() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let given = |lease_ttl_ms| {
        let config = Config { lease_ttl_ms, ..Config::default() };
        World::with(Arc::new(memory.clone()), ring(), config)
    };
    let long = given(4_000).await;
    let owner = long.team().await;
    let silent = Follower::register(&long).await;
    drop(long);
    // Another process, or this one after its setting was made smaller.
    let world = given(1_000).await;
    let mut heard = Follower::register(&world).await;
    let cut = revoke(&world, &owner, None).await;
    tokio::time::sleep(MOMENT).await;
    heard.catch_up().await;
    let receipt = receipt(cut.await.expect("joins"));
    assert_eq!((receipt.acknowledged, receipt.waited_out), (1, 1), "{}", silent.incarnation);
    let w = Terms::default().wait_for(Duration::from_secs(4));
    let elapsed = elapsed(&receipt);
    assert!(elapsed >= w && elapsed < w + MOMENT, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_rows_that_a_copy_put_back_lacks_counts_for_nothing() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let world = World::over(Arc::new(memory.clone()), ring()).await;
    let owner = world.team().await;
    let mut follower = Follower::register(&world).await;
    let copy = memory.copy().await;
    for _ in 0..3 {
        world.key(&owner).await;
    }
    follower.catch_up().await;
    memory.put_back(&copy).await;
    // It has the number of a row that the follower did acknowledge.
    let receipt = receipt(revoke(&world, &owner, None).await.await.expect("joins"));
    assert_eq!((receipt.acknowledged, receipt.waited_out), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn past_the_callers_deadline_a_cut_is_pending_and_can_be_resumed() {
    let world = World::memory().await;
    let owner = world.team().await;
    let stranger = world.team().await;
    Follower::register(&world).await;
    let outcome = revoke(&world, &owner, Some(Duration::from_millis(800))).await;
    let outcome = outcome.await.expect("joins").expect("an outcome");
    assert!(outcome.pending && outcome.receipt.is_none(), "never OK");
    let operation_id = outcome.operation_id;
    let request = GetCutRequest { operation_id: operation_id.clone() };
    assert!(world.keys().get_cut(world.by(&stranger, request.clone())).await.is_err());
    let answer = world.keys().get_cut(world.by(&owner, request)).await.expect("resumed");
    let resumed = answer.into_inner().outcome;
    assert_eq!(resumed.as_ref().expect("an outcome").operation_id, operation_id);
    let receipt = receipt(resumed);
    assert_eq!(receipt.waited_out, 1);
    let (elapsed, w) = (elapsed(&receipt), Terms::default().wait());
    assert!(elapsed >= w && elapsed < w + MOMENT, "W counts from the commit: {elapsed:?}");
}

/// The receipts in the team's trail, newest first.
async fn receipts(world: &World, owner: &Person) -> Vec<Option<Receipt>> {
    let request = world.by(owner, ListAuditRequest::default());
    let page = world.keys().list_audit(request).await.expect("listed").into_inner();
    page.entries.into_iter().map(|entry| entry.receipt).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cut_whose_caller_left_has_its_receipt_in_the_trail_all_the_same() {
    let world = World::memory().await;
    let owner = world.team().await;
    Follower::register(&world).await;
    let cut = revoke(&world, &owner, None).await;
    tokio::time::sleep(MOMENT).await;
    cut.abort();
    tokio::time::sleep(Terms::default().wait()).await;
    let newest = receipts(&world, &owner).await.remove(0).expect("recorded");
    assert_eq!((newest.acknowledged, newest.waited_out), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_is_in_force_returns_however_slow_the_trail_is() {
    let world = World::memory().await;
    let owner = world.team().await;
    let mut follower = Follower::register(&world).await;
    let (acknowledge, requests) = mpsc::channel(4);
    acknowledge.send(follower.opening()).await.expect("open");
    let rows = follower.log.watch(ReceiverStream::new(requests)).await.expect("watching");
    let mut rows = rows.into_inner();
    let mut cut = revoke(&world, &owner, None).await;
    let pushed = loop {
        let pushed = rows.message().await.expect("open").expect("rows").rows;
        if pushed.last().expect("at least one").cut {
            break pushed;
        }
    };
    // Nothing is written while this is open.
    let held = world.store.begin().await.expect("begins");
    acknowledge.send(follower.acknowledgement(&pushed)).await.expect("open");
    let returned = tokio::time::timeout(Duration::from_secs(1), &mut cut).await;
    assert_eq!(receipt(returned.expect("in time").expect("joins")).acknowledged, 1);
    drop(held);
    tokio::time::sleep(MOMENT).await;
    assert!(receipts(&world, &owner).await[0].is_some(), "recorded when it can be");
}

#[tokio::test(start_paused = true)]
async fn a_pending_regenerate_carries_the_new_token() {
    let world = World::memory().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    Follower::register(&world).await;
    let request = RegenerateKeyRequest { key_id: key.id, operation_id: world.operation() };
    let mut request = world.by(&owner, request);
    request.set_timeout(Duration::from_millis(400));
    let answer = world.keys().regenerate_key(request).await.expect("regenerated").into_inner();
    assert!(answer.outcome.expect("an outcome").pending);
    assert!(ring().authenticate(&answer.token).is_some());
}

#[tokio::test(start_paused = true)]
async fn another_process_resumes_a_cut_by_waiting_w_itself() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let first = World::over(Arc::new(memory.clone()), ring()).await;
    let owner = first.team().await;
    Follower::register(&first).await;
    let outcome = revoke(&first, &owner, Some(Duration::from_millis(400))).await;
    let operation_id = outcome.await.expect("joins").expect("an outcome").operation_id;
    let second = World::over(Arc::new(memory), ring()).await;
    let request = second.by(&owner, GetCutRequest { operation_id });
    let answer = second.keys().get_cut(request).await.expect("resumed").into_inner();
    let receipt = receipt(answer.outcome);
    assert!(elapsed(&receipt) >= Terms::default().wait());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_cut_returns_its_receipt_at_once_unless_the_history_is_not_settled() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let world = World::over(Arc::new(memory.clone()), ring()).await;
    let owner = world.team().await;
    Follower::register(&world).await;
    let outcome = revoke(&world, &owner, None).await.await.expect("joins").expect("an outcome");
    let operation_id = outcome.operation_id.clone();
    let first = receipt(Some(outcome));
    let again = async || {
        let start = world.clock.tick();
        let request = world.by(&owner, GetCutRequest { operation_id: operation_id.clone() });
        let answer = world.keys().get_cut(request).await.expect("found").into_inner();
        (receipt(answer.outcome), world.clock.tick().since(start))
    };
    tokio::time::sleep(Duration::from_hours(1)).await;
    let (kept, took) = again().await;
    assert_eq!((kept.seq, kept.waited_out), (first.seq, 1));
    assert_eq!(elapsed(&kept).as_micros(), elapsed(&first).as_micros());
    assert!(took < MOMENT, "{took:?}");

    // There may be leases of before that this database knows nothing of.
    memory.fork(History { database: [2; 16], timeline: 0 }).await;
    let (_, took) = again().await;
    assert!(took >= Terms::default().wait(), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_takes_nothing_away_waits_a_moment_at_most() {
    let world = World::memory().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    Follower::register(&world).await;
    let start = world.clock.tick();
    let request =
        UpdateKeyRequest { key_id: key.id, name: Some("new".into()), ..Default::default() };
    let answer = world.keys().update_key(world.by(&owner, request)).await.expect("updated");
    let outcome = answer.into_inner().outcome.expect("an outcome");
    assert!(outcome.receipt.is_none() && !outcome.pending);
    let took = world.clock.tick().since(start);
    assert!(took >= Duration::from_millis(250) && took < Duration::from_millis(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_new_history_no_cut_returns_before_w_has_passed_once() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let before = World::over(Arc::new(memory.clone()), ring()).await;
    let owner = before.team().await;
    memory.fork(History { database: [2; 16], timeline: 0 }).await;
    let world = World::over(Arc::new(memory), ring()).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let run = tokio::spawn(world.service.clone().run(stop.clone()));
    let start = world.clock.tick();
    receipt(revoke(&world, &owner, None).await.await.expect("joins"));
    let took = world.clock.tick().since(start);
    assert!(took >= Terms::default().wait(), "W since the history was first read: {took:?}");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let epoch = world.store.epoch().await.expect("read");
    assert_eq!(epoch.settled, epoch.history, "stored as settled");
    let second = receipt(revoke(&world, &owner, None).await.await.expect("joins"));
    assert!(elapsed(&second) < MOMENT, "{second:?}");
    stop.cancel();
    run.await.expect("stops");
}
