//! Leases, tombstones and `at_least`: nothing that was cut is allowed, nothing older is used.

use std::{sync::Arc, time::Duration};

use keystile_domain::{
    Position, Scope,
    facts::{KeyStatus, Request},
    log::ChangeKind,
};
use keystile_testkit::log::{LEASE, history};
use keystile_verification::{Answer, Config, Error};

use crate::{Rig, until, word};

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_refused_as_soon_as_its_cut_is_acknowledged() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("revoked"));
    assert_eq!(rig.verdict(&token).await, Ok("revoked"));
    assert_eq!(rig.lookups(), 2, "kept as what it is: no hash a refusal");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_enabled_again_is_allowed_as_soon_as_that_is_applied() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|facts| facts.status = KeyStatus::Disabled);
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("disabled"));
    rig.issuance.change(kid, ChangeKind::KeyEnabled, |facts| facts.status = KeyStatus::Active);
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_team_reaches_its_keys_and_no_others() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|_| {});
    let (_, other) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.verdict(&other).await, Ok("allowed"));
    let team = {
        let mut state = rig.issuance.state();
        let facts = state.keys.get_mut(&kid).expect("created");
        facts.team_suspended = true;
        facts.team
    };
    rig.issuance.log.commit_as(Scope::Team(team), ChangeKind::TeamSuspended);
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("suspended"));
    assert_eq!(rig.verdict(&other).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_every_question_is_a_look_up_of_its_own() {
    let rig = Arc::new(Rig::new().await);
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    rig.lose_lease().await;
    // A cut that this node never hears of.
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    for asked in 1..=3 {
        assert_eq!(rig.verdict(&token).await, Ok("revoked"));
        assert_eq!(rig.lookups(), 1 + asked);
    }
    rig.issuance.set_open(false);
    let asking = [(); 2].map(|()| {
        let (rig, token) = (Arc::clone(&rig), token.clone());
        tokio::spawn(async move { rig.verdict(&token).await })
    });
    until("both ask issuance", || rig.lookups() == 6).await;
    rig.issuance.set_open(true);
    for asked in asking {
        assert_eq!(asked.await.expect("no panic"), Ok("revoked"));
    }
}

#[tokio::test(start_paused = true)]
async fn with_neither_lease_nor_issuance_there_is_no_verdict() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    let (_, cold) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    rig.issuance.state().down = true;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"), "the lease still vouches for it");
    assert_eq!(rig.verdict(&cold).await, Err(Error::Lookup));
    rig.lose_lease().await;
    assert_eq!(rig.verdict(&token).await, Err(Error::Lookup));
}

#[tokio::test(start_paused = true)]
async fn before_the_first_lease_a_look_up_decides() {
    let rig = Rig::without_lease(Config::default());
    assert_eq!(rig.service.ready(), Err("verification has no lease from issuance".to_owned()));
    let (_, token) = rig.issuance.create(|_| {});
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_older_than_a_tombstone_is_fetched_again_and_never_used() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|_| {});
    let before = rig.issuance.state().keys[&kid].clone();
    let cut =
        rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    rig.issuance.barrier().await;
    rig.issuance.state().lagging = vec![(cut - 1, before.clone()); 2];
    assert_eq!(rig.verdict(&token).await, Ok("revoked"));
    assert_eq!(rig.lookups(), 3, "two stale answers were thrown away");
    let (kid, token) = rig.issuance.create(|_| {});
    let before = rig.issuance.state().keys[&kid].clone();
    let cut = rig.issuance.change(kid, ChangeKind::KeyUpdated, |_| {});
    rig.issuance.barrier().await;
    rig.issuance.state().lagging = vec![(cut - 1, before); 3];
    assert_eq!(rig.verdict(&token).await, Err(Error::Outdated), "nor for want of a better one");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_a_cut_overtook_serves_neither_who_began_nor_who_joined_it() {
    let rig = Arc::new(Rig::new().await);
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    rig.issuance.set_open(false);
    let ask = || {
        let (rig, token) = (Arc::clone(&rig), token.clone());
        tokio::spawn(async move { rig.verdict(&token).await })
    };
    let began = ask();
    until("facts are read", || rig.issuance.arrived() == 1).await;
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    rig.issuance.barrier().await;
    let joined = ask();
    until("joined", || rig.counts().cache_misses == 2).await;
    rig.issuance.set_open(true);
    assert_eq!(joined.await.expect("no panic"), Ok("revoked"));
    assert_eq!(began.await.expect("no panic"), Ok("revoked"));
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_look_up_and_lost_the_lease_meanwhile_asks_anew() {
    let rig = Arc::new(Rig::new().await);
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    rig.issuance.set_open(false);
    let ask = || {
        let (rig, token) = (Arc::clone(&rig), token.clone());
        tokio::spawn(async move { rig.verdict(&token).await })
    };
    let began = ask();
    until("facts are read", || rig.issuance.arrived() == 1).await;
    // The lease ends, and a cut waits that out and returns: this node hears of neither.
    rig.issuance.deafen();
    let joined = ask();
    until("joined", || rig.counts().cache_misses == 2).await;
    rig.clock.advance(LEASE);
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    assert!(rig.service.ready().is_err());
    rig.issuance.set_open(true);
    assert_eq!(joined.await.expect("no panic"), Ok("revoked"));
    assert_eq!(began.await.expect("no panic"), Ok("allowed"), "asked before the cut returned");
    assert_eq!(rig.issuance.arrived(), 2);
}

#[tokio::test(start_paused = true)]
async fn facts_older_than_at_least_count_as_missing() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    let (other, _) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    let seq = rig.issuance.change(other, ChangeKind::KeyUpdated, |_| {});
    let ask = async |seq| {
        let at_least = Some(Position { history: history(1), seq });
        rig.ask(&token, Request::default(), at_least).await.map(|answer| match answer {
            Answer::Allowed(allowed) => allowed.as_of().seq,
            Answer::Refused(_) => panic!("{}", word(&answer)),
        })
    };
    assert_eq!(ask(seq - 1).await, Ok(seq - 1));
    assert_eq!(rig.lookups(), 1, "what is kept is new enough");
    assert_eq!(ask(seq).await, Ok(seq));
    assert_eq!(rig.lookups(), 2);
    assert_eq!(ask(seq).await, Ok(seq));
    assert_eq!(rig.lookups(), 2);
    assert_eq!(ask(seq + 1).await, Err(Error::Outdated), "from the future");
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_an_hour_from_its_reading() {
    let rig = Rig::new().await;
    let (_, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    rig.clock.advance(Duration::from_secs(3599));
    rig.renewed().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 1);
    rig.clock.advance(Duration::from_secs(1));
    rig.renewed().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 2);
}

#[tokio::test(start_paused = true)]
async fn expiry_is_judged_at_each_question_on_the_wall_clock() {
    let rig = Rig::new().await;
    let end = keystile_domain::Clock::now(&rig.clock) + Duration::from_mins(1);
    let (_, token) = rig.issuance.create(|facts| facts.expires_at = Some(end));
    rig.issuance.barrier().await;
    rig.clock.set_wall(end - Duration::from_nanos(1));
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    rig.clock.set_wall(end);
    assert_eq!(rig.verdict(&token).await, Ok("expired"));
    assert_eq!(rig.lookups(), 1);
}
