//! A follower against a double of issuance, over the transport that one process uses.
//!
//! tokio's time is paused and jumps from timer to timer, so renewals and pauses take no time; the
//! lease counts on a clock that only the tests move.

mod cache;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cache::Cache;
use keystile_contract::{
    Identity, proto::issuance::v1::log_service_server::LogServiceServer, transport,
};
use keystile_domain::{
    KeyId, Position, Role, Scope,
    log::{Applied, LogRow, Nonce},
};
use keystile_follower::{Deps, Follower, Rejected, Settings, follow};
use keystile_testkit::{
    LogDouble, MockClock, SeededEntropy,
    log::{LEASE, Renewals, history, nonce, row},
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Rig {
    clock: MockClock,
    issuance: LogDouble,
    cache: Arc<Cache>,
    follower: Follower,
    _stop: DropGuard,
}

fn rig(prepare: impl FnOnce(&LogDouble)) -> Rig {
    rig_with(Cache::default(), prepare)
}

fn rig_with(cache: Cache, prepare: impl FnOnce(&LogDouble)) -> Rig {
    let (clock, cache) = (MockClock::default(), Arc::new(cache));
    let issuance = LogDouble::new(clock.clone());
    prepare(&issuance);
    let server = LogServiceServer::new(issuance.clone());
    let deps = Deps {
        issuance: transport::local(server, Identity::Role(Role::Verification)),
        role: Role::Verification,
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(1)),
        apply: Arc::clone(&cache) as _,
    };
    let (follower, driver) = follow(Settings::default(), deps);
    let stop = CancellationToken::new();
    tokio::spawn(driver.run(stop.clone()));
    Rig { clock, issuance, cache, follower, _stop: stop.drop_guard() }
}

/// Waits, on the paused time, until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), waiting).await.is_ok(), "never: {what}");
}

fn key(id: u128) -> Scope {
    Scope::Key(KeyId::from_uuid(uuid::Uuid::from_u128(id)))
}

fn at(seq: u64) -> Position {
    Position { history: history(1), seq }
}

fn applied(seq: u64) -> Applied {
    Applied { position: at(seq), nonce: nonce(seq) }
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_the_log_as_tombstones_and_everything_before_the_floor_missing() {
    let rig = rig(|issuance| {
        for id in 1..=4 {
            issuance.commit(key(id));
        }
        issuance.state().floor = 2;
    });
    rig.follower.wait_ready().await;
    assert!(rig.follower.lease_current());
    assert_eq!(rig.follower.applied(), Some(at(4)));
    assert_eq!(rig.follower.tombstones(), 2);
    assert_eq!(*rig.cache.begun.lock().expect("not poisoned"), [applied(2)]);
    assert_eq!(rig.cache.rows(), [3, 4]);
    assert_eq!(rig.follower.admit(&at(3), [key(3)]), Ok(()));
    let stale = |seq| Err(Rejected::Stale { needed: at(seq) });
    assert_eq!(rig.follower.admit(&at(2), [key(9), key(3)]), stale(3));
    assert_eq!(rig.follower.admit(&at(1), [key(9)]), stale(2));
    let foreign = Position { history: history(2), seq: 9 };
    assert_eq!(rig.follower.admit(&foreign, [key(9)]), Err(Rejected::ForeignHistory));
}

#[tokio::test(start_paused = true)]
async fn a_row_is_a_tombstone_before_it_is_applied_and_acknowledged_only_after() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    assert_eq!(rig.follower.admit(&at(0), [key(1)]), Ok(()));
    rig.cache.set_open(false);
    let cut = rig.issuance.commit(key(1));
    until("apply is asked", || rig.cache.entered.load(Ordering::SeqCst) == 1).await;
    assert_eq!(
        rig.follower.admit(&at(0), [key(1)]),
        Err(Rejected::Stale { needed: cut }),
        "installed before it is applied"
    );
    tokio::time::sleep(LEASE).await;
    assert!(!rig.issuance.state().acknowledged.contains(&cut.seq), "not applied yet");
    assert_eq!(rig.follower.applied(), Some(at(0)));
    rig.cache.set_open(true);
    until("acknowledged", || rig.issuance.state().acknowledged.contains(&cut.seq)).await;
    assert_eq!(rig.follower.applied(), Some(cut));
}

#[tokio::test(start_paused = true)]
async fn lost_renewals_end_the_lease_and_one_that_arrives_brings_it_back() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    rig.issuance.state().renewals = Renewals::Lost;
    rig.clock.advance(LEASE);
    assert!(!rig.follower.lease_current());
    assert_eq!(rig.follower.admit(&at(0), [key(1)]), Err(Rejected::NoLease));
    assert_eq!(rig.follower.check(&at(0), [key(1)]), Ok(()), "tombstones alone");
    rig.issuance.state().renewals = Renewals::Answered;
    until("renewed", || rig.follower.lease_current()).await;
    assert_eq!(rig.issuance.state().registered.len(), 1, "the same incarnation");
}

#[tokio::test(start_paused = true)]
async fn the_lease_counts_from_when_the_renewal_was_sent() {
    let slow = Duration::from_millis(1500);
    let rig = rig(|issuance| {
        issuance.state().renewals = Renewals::AnsweredOnceAfter(slow);
    });
    rig.follower.wait_ready().await;
    rig.clock.advance(Duration::from_millis(499));
    assert!(rig.follower.lease_current());
    // Counted from the answer, it would last for another 1.5 s.
    rig.clock.advance(Duration::from_millis(1));
    assert!(!rig.follower.lease_current());
}

#[tokio::test(start_paused = true)]
async fn the_tail_is_applied_before_the_lease_is_extended() {
    let rig = rig(|issuance| issuance.state().pushes = false);
    rig.follower.wait_ready().await;
    rig.issuance.state().renewals = Renewals::Lost;
    rig.clock.advance(Duration::from_millis(1500));
    rig.cache.set_open(false);
    rig.issuance.commit(key(1));
    rig.issuance.state().renewals = Renewals::Answered;
    until("apply is asked", || rig.cache.entered.load(Ordering::SeqCst) == 1).await;
    rig.clock.advance(Duration::from_secs(1));
    assert!(!rig.follower.lease_current(), "extended before the row was applied");
    rig.cache.set_open(true);
    until("extended", || rig.follower.lease_current()).await;
    assert_eq!(rig.cache.rows(), [1]);
}

/// Pushes `bad` onto a follower at row 1 and expects that it drops everything and registers anew.
async fn breaks_the_chain(bad: LogRow) {
    let rig = rig(|issuance| {
        issuance.commit(key(1));
    });
    rig.follower.wait_ready().await;
    until("the stream is open", || {
        let mut state = rig.issuance.state();
        state.push(&bad);
        state.registered.len() == 2
    })
    .await;
    until("followed anew", || rig.follower.lease_current()).await;
    assert_eq!(rig.cache.resets(), 2);
    assert_eq!(rig.cache.rows(), [1], "the bad row was not applied");
    assert_eq!(rig.follower.applied(), Some(at(1)));
    let state = rig.issuance.state();
    assert_ne!(state.registered[0], state.registered[1]);
}

#[tokio::test(start_paused = true)]
async fn a_row_onto_another_nonce_makes_it_drop_everything_and_register_anew() {
    breaks_the_chain(LogRow { previous: nonce(7), ..row(2, key(2)) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_out_of_order_makes_it_drop_everything_and_register_anew() {
    breaks_the_chain(LogRow { previous: nonce(1), ..row(3, key(2)) }).await;
}

#[tokio::test(start_paused = true)]
async fn another_row_with_the_number_of_the_last_makes_it_register_anew() {
    breaks_the_chain(LogRow { nonce: nonce(7), ..row(1, key(2)) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_comes_twice_is_applied_once() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    rig.issuance.commit(key(1));
    until("applied", || rig.cache.rows() == [1]).await;
    rig.issuance.state().push(&row(1, key(1)));
    rig.issuance.commit(key(2));
    until("applied", || rig.cache.rows() == [1, 2]).await;
    assert_eq!(rig.issuance.state().registered.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retired_incarnation_registers_anew() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    rig.issuance.state().registered.push("inc_other".to_owned());
    until("registered anew", || rig.issuance.state().registered.len() == 3).await;
    until("renewed", || rig.follower.lease_current()).await;
    assert_eq!(rig.cache.resets(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_history_drops_everything_of_the_old_one() {
    let rig = rig(|issuance| {
        issuance.commit(key(1));
    });
    rig.follower.wait_ready().await;
    rig.issuance.state().history = history(2);
    let restored = Position { history: history(2), seq: 1 };
    until("followed anew", || rig.follower.applied() == Some(restored)).await;
    until("renewed", || rig.follower.lease_current()).await;
    assert_eq!(rig.follower.admit(&at(9), [key(9)]), Err(Rejected::ForeignHistory));
    assert_eq!(rig.cache.resets(), 2);
}

#[tokio::test(start_paused = true)]
async fn rows_that_could_not_be_applied_come_again() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    rig.cache.fails.store(true, Ordering::SeqCst);
    rig.issuance.commit(key(1));
    until("tried twice", || rig.cache.entered.load(Ordering::SeqCst) >= 2).await;
    rig.clock.advance(LEASE);
    tokio::time::sleep(LEASE).await;
    assert!(!rig.follower.lease_current(), "extended without the row");
    assert!(!rig.issuance.state().acknowledged.contains(&1));
    rig.cache.fails.store(false, Ordering::SeqCst);
    until("acknowledged", || rig.issuance.state().acknowledged.contains(&1)).await;
    until("renewed", || rig.follower.lease_current()).await;
    assert_eq!(rig.cache.rows(), [1]);
    assert_eq!(rig.issuance.state().registered.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_opened_again() {
    let rig = rig(|_| {});
    rig.follower.wait_ready().await;
    rig.issuance.commit(key(1));
    until("acknowledged", || rig.issuance.state().acknowledged.contains(&1)).await;
    rig.issuance.state().hang_up();
    rig.issuance.commit(key(2));
    until("acknowledged", || rig.issuance.state().acknowledged.contains(&2)).await;
    assert_eq!(rig.issuance.state().registered.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stored_follower_resumes_where_it_was() {
    let stored = Cache::stored(applied(2));
    let rig = rig_with(stored, |issuance| {
        for id in 1..=4 {
            issuance.commit(key(id));
        }
    });
    rig.follower.wait_ready().await;
    assert_eq!(rig.issuance.state().resumed_from, [Some(2)]);
    assert_eq!(rig.cache.resets(), 0);
    assert_eq!(rig.cache.rows(), [3, 4]);
    let stale = Err(Rejected::Stale { needed: at(2) });
    assert_eq!(rig.follower.admit(&at(1), [key(9)]), stale, "its tombstones are not in memory");
}

#[tokio::test(start_paused = true)]
async fn a_stored_follower_that_the_log_no_longer_reaches_is_reset() {
    let stored = Cache::stored(applied(1));
    let rig = rig_with(stored, |issuance| {
        for id in 1..=4 {
            issuance.commit(key(id));
        }
        issuance.state().floor = 3;
    });
    rig.follower.wait_ready().await;
    assert_eq!(*rig.cache.begun.lock().expect("not poisoned"), [applied(3)]);
    assert_eq!(rig.cache.rows(), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_stored_follower_whose_row_was_another_is_reset() {
    let stored = Cache::stored(Applied { nonce: Nonce([0xff; 16]), ..applied(2) });
    let rig = rig_with(stored, |issuance| {
        for id in 1..=3 {
            issuance.commit(key(id));
        }
    });
    rig.follower.wait_ready().await;
    assert_eq!(rig.issuance.state().resumed_from, [Some(2)]);
    assert_eq!(*rig.cache.begun.lock().expect("not poisoned"), [applied(0)]);
    assert_eq!(rig.cache.rows(), [1, 2, 3]);
}
