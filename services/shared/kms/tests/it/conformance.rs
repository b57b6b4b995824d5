//! What every holder of key-encryption keys promises, asked of the ring and of a token that have the
//! same versions 1 and 2.

use std::sync::Arc;

use keystile_domain::{Entropy, TeamId};
use keystile_kms::Pkcs11;
use keystile_seal::{
    DataKeyId, DataKeyRecord, Error, KekRing, KeyBytes, KeyEncryption, Several, Wrapped,
};
use keystile_testkit::SeededEntropy;
use uuid::Uuid;

use crate::child::{key, open, settings, with_token};

fn entropy(seed: u64) -> Arc<dyn Entropy> {
    Arc::new(SeededEntropy::new(seed))
}

fn ring(versions: &[u32]) -> KekRing {
    let keys = versions.iter().map(|version| (*version, KeyBytes::init_with(|| key(*version))));
    KekRing::new(keys, entropy(2)).expect("a ring")
}

fn team(number: u128) -> TeamId {
    TeamId::from_uuid(Uuid::from_u128(number))
}

async fn record(version: u32, kek: &dyn KeyEncryption) -> DataKeyRecord {
    let made = DataKeyRecord::generate(team(1), version, kek, &*entropy(3)).await;
    made.expect("wraps").0
}

async fn every_promise(kek: &dyn KeyEncryption) {
    assert_eq!((kek.versions(), kek.newest()), (vec![1, 2], 2));
    a_wrapped_key_opens_only_as_itself(kek).await;
    a_version_that_is_not_there_is_named(kek).await;
    two_wraps_of_one_key_differ(kek).await;
    the_format_is_the_same_for_all(kek).await;
    many_at_once_do_not_disturb_one_another(kek).await;
    kek.refresh().await.expect("looks again");
    assert_eq!(kek.versions(), [1, 2]);
}

async fn a_wrapped_key_opens_only_as_itself(kek: &dyn KeyEncryption) {
    let record = record(2, kek).await;
    assert_eq!(record.kek_version, 2);
    record.unwrap(kek).await.expect("opens");
    let mut foreign = record.clone();
    foreign.team = team(9);
    let mut renamed = record.clone();
    renamed.id = DataKeyId::from_uuid(Uuid::from_u128(9));
    let mut downgraded = record.clone();
    downgraded.kek_version = 1;
    for moved in [foreign, renamed, downgraded] {
        assert_eq!(moved.unwrap(kek).await.err(), Some(Error::Refused), "{moved:?}");
    }
    for place in 0..record.wrapped.len() {
        let mut altered = record.clone();
        altered.wrapped[place] ^= 1;
        let refused = altered.unwrap(kek).await.err();
        assert!(matches!(refused, Some(Error::Refused | Error::Format)), "{place}: {refused:?}");
        let mut cut = record.clone();
        cut.wrapped.truncate(place);
        assert_eq!(cut.unwrap(kek).await.err(), Some(Error::Format), "length {place}");
    }
    record.unwrap(kek).await.expect("a refusal breaks nothing");
}

async fn a_version_that_is_not_there_is_named(kek: &dyn KeyEncryption) {
    let mut lost = record(1, kek).await;
    lost.kek_version = 7;
    assert_eq!(lost.unwrap(kek).await.err(), Some(Error::UnknownVersion(7)));
    let key = KeyBytes::init_with(|| [9; 32]);
    let absent = kek.wrap(7, team(1), lost.id, &key).await;
    assert_eq!(absent.err(), Some(Error::UnknownVersion(7)));
}

async fn two_wraps_of_one_key_differ(kek: &dyn KeyEncryption) {
    let id = DataKeyId::from_uuid(Uuid::from_u128(5));
    let key = KeyBytes::init_with(|| [9; 32]);
    let one = kek.wrap(1, team(1), id, &key).await.expect("wraps");
    let other = kek.wrap(1, team(1), id, &key).await.expect("wraps");
    let nonce = |wrapped: &Wrapped| *Wrapped::parts(&wrapped.bytes).expect("parts").0;
    assert_ne!(nonce(&one), nonce(&other));
}

/// A ring with the same keys opens what `kek` wrapped, and the other way round.
async fn the_format_is_the_same_for_all(kek: &dyn KeyEncryption) {
    let ring = ring(&[1, 2]);
    record(2, kek).await.unwrap(&ring).await.expect("opens in the ring");
    record(1, &ring).await.unwrap(kek).await.expect("opens what the ring wrapped");
    let moved = record(1, &ring).await.rewrap(2, kek).await.expect("re-wraps").expect("older");
    moved.unwrap(&ring).await.expect("opens in the ring");
}

async fn many_at_once_do_not_disturb_one_another(kek: &dyn KeyEncryption) {
    let record = record(1, kek).await;
    let opened = futures(64, async |_| record.unwrap(kek).await.map(|key| key.id())).await;
    assert!(opened.into_iter().all(|id| id == Ok(record.id)));
}

async fn futures<T>(count: u32, work: impl AsyncFn(u32) -> T) -> Vec<T> {
    let mut all: Vec<_> = (0..count).map(|number| Box::pin(work(number))).collect();
    let mut done = Vec::new();
    // Started together; each is then waited for.
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_ring_keeps_every_promise() {
    every_promise(&ring(&[1, 2])).await;
}

#[tokio::test]
async fn two_rings_keep_every_promise_together() {
    let rings = [ring(&[2]), ring(&[1])].map(|ring| Arc::new(ring) as Arc<dyn KeyEncryption>);
    every_promise(&Several::new(rings.into()).expect("two")).await;
}

#[test]
fn a_token_keeps_every_promise() {
    with_token("conformance::a_token_keeps_every_promise", &[1, 2], async || {
        let token: Pkcs11 = open(settings()).await.expect("opens");
        every_promise(&token).await;
    });
}
