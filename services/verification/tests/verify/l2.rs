//! L2 saves look-ups and is believed in nothing: what it holds may be altered, old or another's.

use std::{sync::Arc, time::Duration};

use keystile_cache::L2 as _;
use keystile_domain::{
    facts::{KeyStatus, Request},
    log::ChangeKind,
    token::{Digest, Kid},
};
use keystile_verification::Counts;

use crate::{Rig, until};

/// A key that one node has proved and put into L2, and what lies there.
async fn kept(rig: &Rig) -> (Kid, String, Digest, Arc<[u8]>) {
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    let digest = rig.issuance.ring.authenticate(&token).expect("genuine").digest;
    until("it is in L2", || rig.l2.weight() > 0).await;
    let value = rig.l2.get(&digest).await.expect("put");
    (kid, token, digest, value)
}

#[tokio::test(start_paused = true)]
async fn what_one_node_proved_another_does_not_ask_about() {
    let rig = Rig::new().await;
    let (_, token, _, value) = kept(&rig).await;
    let other = rig.another().await;
    assert_eq!(other.verdict(&token).await, Ok("allowed"));
    assert_eq!(other.verdict(&token).await, Ok("allowed"));
    assert_eq!(other.counts(), Counts { cache_misses: 1, lookups: 0, hashes: 0 });
    let text = String::from_utf8_lossy(&value);
    assert!(!text.contains("$argon2id$"), "the hash of the secret is in L2");
    assert!(!text.contains(&token), "the token is in L2");
}

#[tokio::test(start_paused = true)]
async fn an_entry_with_any_byte_changed_is_none() {
    let rig = Rig::new().await;
    let (_, token, digest, value) = kept(&rig).await;
    assert!(value.len() > 200, "an entry has {} bytes", value.len());
    for at in 0..value.len() {
        let mut bytes = value.to_vec();
        bytes[at] ^= 1 << (at % 8);
        rig.l2.put(&digest, bytes.into(), Duration::from_hours(1)).await;
        let node = rig.another().await;
        assert_eq!(node.verdict(&token).await, Ok("allowed"));
        assert_eq!(node.lookups(), 1, "byte {at} may be changed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_from_before_a_cut_is_not_used_whoever_puts_it_back() {
    let rig = Rig::new().await;
    let (kid, token, digest, value) = kept(&rig).await;
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    rig.issuance.barrier().await;
    for node in [rig.another().await, rig.another().await] {
        rig.l2.put(&digest, Arc::clone(&value), Duration::from_hours(1)).await;
        assert_eq!(node.verdict(&token).await, Ok("revoked"));
        assert_eq!(node.lookups(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_one_token_under_another_s_digest_is_none() {
    let rig = Rig::new().await;
    let (_, _, _, value) = kept(&rig).await;
    let (kid, token) = rig.issuance.create(|facts| facts.status = KeyStatus::Disabled);
    rig.issuance.barrier().await;
    let digest = rig.issuance.ring.authenticate(&token).expect("genuine").digest;
    rig.l2.put(&digest, value, Duration::from_hours(1)).await;
    assert_eq!(rig.verdict(&token).await, Ok("disabled"), "{kid}");
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_l2_is_not_asked() {
    let rig = Rig::new().await;
    let (kid, token, ..) = kept(&rig).await;
    let node = rig.another().await;
    node.lose_lease().await;
    rig.issuance.change(kid, ChangeKind::KeyRevoked, |facts| facts.status = KeyStatus::Revoked);
    assert_eq!(node.verdict(&token).await, Ok("revoked"));
    assert_eq!(node.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_older_than_at_least_is_asked_about_again() {
    let rig = Rig::new().await;
    let (_, token, ..) = kept(&rig).await;
    let (_, _) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    let node = rig.another().await;
    let at_least = Some(rig.issuance.log.head());
    let asked = node.ask(&token, Request::default(), at_least).await;
    assert_eq!(asked.as_ref().map(crate::word), Ok("allowed"));
    assert_eq!(node.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_over_an_hour_after_issuance_was_asked_however_often_it_moves() {
    let rig = Rig::new().await;
    let (_, token, digest, value) = kept(&rig).await;
    rig.clock.advance(Duration::from_mins(59));
    let node = rig.another().await;
    node.renewed().await;
    assert_eq!(node.verdict(&token).await, Ok("allowed"));
    assert_eq!(node.lookups(), 0);
    rig.clock.advance(Duration::from_mins(1));
    node.renewed().await;
    rig.l2.put(&digest, value, Duration::from_hours(1)).await;
    assert_eq!(node.verdict(&token).await, Ok("allowed"));
    assert_eq!(node.lookups(), 1, "neither L1 nor L2 keeps it for longer");
}
