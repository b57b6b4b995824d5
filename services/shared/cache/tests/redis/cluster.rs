//! A real Cluster of three masters.

use keystile_cache::{L2 as _, conformance, redis::Redis};
use keystile_domain::token::Digest;
use keystile_testkit::{Authority, MockClock, eventually, redis::Cluster};

use crate::{HOUR, PAUSE, digest, pass, reached, value};

/// So many that every node has some.
fn digests() -> impl Iterator<Item = Digest> {
    (0..=u8::MAX).map(digest)
}

async fn missing(redis: &Redis) -> usize {
    let mut missing = 0;
    for digest in digests() {
        missing += usize::from(redis.get(&digest).await.is_none());
    }
    missing
}

async fn put_all(redis: &Redis) {
    for digest in digests() {
        redis.put(&digest, value(), HOUR).await;
    }
}

/// How many keys each node holds.
fn held(cluster: &Cluster) -> Vec<usize> {
    let held = |told: Option<String>| told.expect("answers").trim().parse().expect("a number");
    cluster.nodes.iter().map(|node| held(node.cli(&["dbsize"]))).collect()
}

#[tokio::test]
async fn it_conforms() {
    let cluster = Cluster::start(&[], None);
    let redis = reached(&cluster.url(), None, &MockClock::default()).await;
    conformance::check(&redis, pass).await;
}

#[tokio::test]
async fn it_conforms_over_tls_with_a_password() {
    let authority = Authority::new();
    let cluster = Cluster::start(&["user cache on >secret ~* +@all"], Some(&authority));
    let url = cluster.url_of("cache", "secret");
    let redis = reached(&url, Some(&authority), &MockClock::default()).await;
    conformance::check(&redis, pass).await;
}

#[tokio::test]
async fn a_node_that_is_gone_takes_its_own_keys_and_no_others() {
    let mut cluster = Cluster::start(&[], None);
    let clock = MockClock::default();
    let redis = reached(&cluster.url(), None, &clock).await;
    put_all(&redis).await;
    let held = held(&cluster);
    assert_eq!(held.iter().sum::<usize>(), 256);
    assert!(held.iter().all(|keys| *keys > 0), "{held:?}");
    cluster.nodes[0].stop();
    // Its parts' breakers open, and then let a call through each time that it is asked again.
    for _ in 0..3 {
        assert_eq!(missing(&redis).await, held[0]);
        assert!(redis.answers());
        clock.advance(PAUSE);
    }
    cluster.nodes[0].resume();
    eventually("all of it is used again", async || {
        clock.advance(PAUSE);
        put_all(&redis).await;
        missing(&redis).await == 0
    })
    .await;
}
