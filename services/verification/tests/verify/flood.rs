//! Threat 4: a flood of genuine keys, none of them known yet, takes turns at Argon2 and holds up
//! nobody who is known.

use std::sync::{Arc, mpsc};

use futures::{FutureExt as _, future::join_all};
use keystile_domain::facts::KeyStatus;
use keystile_testkit::eventually;
use keystile_verification::{Config, Error};

use crate::Rig;

const LOOKUPS: usize = 8;
const WORKERS: usize = 2;

/// In a runtime with a single thread for hashing, so that a test can hold it.
fn with_one_hashing_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(test);
}

#[test]
fn a_flood_of_revoked_keys_takes_turns_at_hashing_and_holds_up_no_warm_key() {
    with_one_hashing_thread(async {
        let config =
            Config { max_lookups: LOOKUPS, hash_workers: Some(WORKERS), ..Config::default() };
        let rig = Arc::new(Rig::without_lease(config).running().await);
        let (_, warm) = rig.issuance.create(|_| {});
        let (_, cold) = rig.issuance.create(|_| {});
        let revoked = [(); LOOKUPS]
            .map(|()| rig.issuance.create(|facts| facts.status = KeyStatus::Revoked).1);
        rig.issuance.barrier().await;
        assert_eq!(rig.verdict(&warm).await, Ok("allowed"));

        let (release, held) = mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv().is_err());
        let flood = revoked.clone().map(|token| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.verdict(&token).await })
        });
        eventually("all are looked up", async || rig.issuance.arrived() == 1 + LOOKUPS).await;
        for _ in 0..100 {
            // Until each has come as far as it can.
            tokio::task::yield_now().await;
        }
        // Behind those that are at hashing, before those that wait for their turn.
        let (rig_then, hashed) = (Arc::clone(&rig), rig.counts().hashes);
        let turns = tokio::task::spawn_blocking(move || rig_then.counts().hashes - hashed);

        for _ in 0..1_000 {
            assert_eq!(rig.verdict(&warm).now_or_never(), Some(Ok("allowed")), "it waits");
        }
        assert_eq!(rig.verdict(&cold).await, Err(Error::Overloaded), "one more than are admitted");
        assert_eq!(rig.verdict(&warm).now_or_never(), Some(Ok("allowed")));
        assert_eq!(rig.counts().hashes, hashed);

        drop(release);
        assert!(holding.await.expect("no panic"));
        assert_eq!(turns.await.expect("no panic"), WORKERS as u64, "hashed at once");
        for asked in join_all(flood).await {
            assert_eq!(asked.expect("no panic"), Ok("revoked"));
        }
        let done = rig.counts();
        assert_eq!(done.hashes, hashed + LOOKUPS as u64, "one each");
        for token in &revoked {
            assert_eq!(rig.verdict(token).now_or_never(), Some(Ok("revoked")), "it is warm");
        }
        assert_eq!(rig.counts(), done);
        assert_eq!(rig.verdict(&cold).await, Ok("allowed"));
    });
}
