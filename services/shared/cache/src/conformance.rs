//! What every backend of [`L2`] does, as one suite.

use std::{sync::Arc, time::Duration};

use keystile_domain::token::Digest;

use crate::L2;

/// How long the short-lived entries of the suite last.
const TTL: Duration = Duration::from_secs(1);

/// Runs the suite on an empty cache. `pass` lets time pass on the clock that the cache counts by.
///
/// # Panics
/// If the cache does not conform.
pub async fn check(l2: &dyn L2, pass: impl AsyncFn(Duration)) {
    what_was_put_last_comes_back(l2).await;
    digests_that_share_all_but_one_bit_are_kept_apart(l2).await;
    what_was_removed_is_gone(l2).await;
    any_bytes_come_back_whole(l2).await;
    what_is_over_is_gone(l2, pass).await;
}

fn digest(id: u8) -> Digest {
    Digest::from_bytes([id; 32])
}

fn value(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

async fn what_was_put_last_comes_back(l2: &dyn L2) {
    assert_eq!(l2.get(&digest(1)).await, None, "an unknown digest");
    l2.put(&digest(1), value("first"), TTL).await;
    assert_eq!(l2.get(&digest(1)).await, Some(value("first")));
    l2.put(&digest(1), value("second"), TTL).await;
    assert_eq!(l2.get(&digest(1)).await, Some(value("second")));
}

async fn digests_that_share_all_but_one_bit_are_kept_apart(l2: &dyn L2) {
    let mut near = [2; 32];
    near[31] ^= 1;
    l2.put(&digest(2), value("two"), TTL).await;
    assert_eq!(l2.get(&Digest::from_bytes(near)).await, None);
}

async fn what_was_removed_is_gone(l2: &dyn L2) {
    l2.put(&digest(3), value("three"), TTL).await;
    l2.put(&digest(4), value("four"), TTL).await;
    l2.remove(&digest(3)).await;
    l2.remove(&digest(3)).await;
    assert_eq!(l2.get(&digest(3)).await, None);
    assert_eq!(l2.get(&digest(4)).await, Some(value("four")));
}

async fn any_bytes_come_back_whole(l2: &dyn L2) {
    let every: Arc<[u8]> = (0..=255).cycle().take(16 << 10).collect();
    l2.put(&digest(5), Arc::clone(&every), TTL).await;
    assert_eq!(l2.get(&digest(5)).await, Some(every));
    l2.put(&digest(5), Arc::from([]), TTL).await;
    assert_eq!(l2.get(&digest(5)).await, Some(Arc::from([])));
}

async fn what_is_over_is_gone(l2: &dyn L2, pass: impl AsyncFn(Duration)) {
    l2.put(&digest(6), value("short"), TTL).await;
    l2.put(&digest(7), value("long"), TTL * 60).await;
    l2.put(&digest(8), value("short"), TTL).await;
    l2.put(&digest(8), value("long"), TTL * 60).await;
    pass(TTL).await;
    assert_eq!(l2.get(&digest(6)).await, None);
    assert_eq!(l2.get(&digest(7)).await, Some(value("long")));
    assert_eq!(l2.get(&digest(8)).await, Some(value("long")), "a put renews the time");
}
