//! The promises of [`IdempotencyStore`], tested on every backend there is.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use keystile_domain::{KeyId, RunId};
use keystile_sql::{Database, Pool};
use keystile_testkit::on_every_backend;
use time::OffsetDateTime;

use super::{ANY_DATA_KEY, NOW, keys, migrated, team, uuid};
use crate::store::{
    Store,
    idempotency::{Begun, NewRun, RETENTION, Run, State},
    sql::SqlStore,
};

const LEASE: Duration = Duration::from_mins(1);

/// A run of team 1 that begins now.
fn run(number: u128, name: u8) -> NewRun {
    NewRun {
        id: RunId::from_uuid(uuid(number)),
        team: team(1),
        key: KeyId::from_uuid(uuid(5)),
        name_digest: [name; 32],
        request_digest: [7; 32],
        began_at: NOW,
        lease_ends_at: NOW + LEASE,
    }
}

fn at(number: u128, name: u8, began_at: OffsetDateTime) -> NewRun {
    NewRun { began_at, lease_ends_at: began_at + LEASE, ..run(number, name) }
}

fn known(new: &NewRun, state: State) -> Begun {
    Begun::Known(Run { id: new.id, request_digest: new.request_digest, state })
}

fn done() -> State {
    State::Done(keys::sealed_under(ANY_DATA_KEY, 1).bytes)
}

async fn a_name_is_taken_once_and_keeps_what_came_of_it(store: Arc<dyn Store>) {
    keys::add_data_key(&*store, team(1), ANY_DATA_KEY).await;
    for (name, state) in [(1, done()), (2, State::Unknown)] {
        let first = run(name.into(), name);
        assert_eq!(store.begin_run(&first).await, Ok(Begun::Ours));
        let again = NewRun { request_digest: [8; 32], ..run(10 + u128::from(name), name) };
        assert_eq!(store.begin_run(&again).await, Ok(known(&first, State::Running)));
        assert_eq!(store.settle_run(first.team, first.id, state.clone()).await, Ok(true));
        assert_eq!(store.begin_run(&again).await, Ok(known(&first, state.clone())));
        // What is known is not changed, and not forgotten.
        for other in [done(), State::Unknown, State::Running] {
            assert_eq!(store.settle_run(first.team, first.id, other).await, Ok(false));
        }
        assert_eq!(store.release_run(first.team, first.id).await, Ok(()));
        assert_eq!(store.begin_run(&again).await, Ok(known(&first, state)));
    }
}

async fn a_name_belongs_to_its_team_and_key(store: Arc<dyn Store>) {
    keys::add_data_key(&*store, team(1), ANY_DATA_KEY).await;
    let own = run(1, 1);
    assert_eq!(store.begin_run(&own).await, Ok(Begun::Ours));
    let of_other_key = NewRun { key: KeyId::from_uuid(uuid(6)), ..run(2, 1) };
    let of_other_team = NewRun { team: team(2), ..run(3, 1) };
    let of_other_name = run(4, 2);
    for other in [of_other_key, of_other_team, of_other_name] {
        assert_eq!(store.begin_run(&other).await, Ok(Begun::Ours));
    }
    assert_eq!(store.settle_run(team(2), own.id, done()).await, Ok(false));
    assert_eq!(store.release_run(team(2), own.id).await, Ok(()));
    assert_eq!(store.begin_run(&run(5, 1)).await, Ok(known(&own, State::Running)));
}

async fn a_released_name_is_free(store: Arc<dyn Store>) {
    keys::add_data_key(&*store, team(1), ANY_DATA_KEY).await;
    let first = run(1, 1);
    assert_eq!(store.begin_run(&first).await, Ok(Begun::Ours));
    assert_eq!(store.release_run(first.team, first.id).await, Ok(()));
    assert_eq!(store.settle_run(first.team, first.id, done()).await, Ok(false));
    assert_eq!(store.begin_run(&run(2, 1)).await, Ok(Begun::Ours));
}

/// Whoever began it is gone, and may have reached the app.
async fn a_run_that_outlives_its_lease_is_unknown_for_ever(store: Arc<dyn Store>) {
    keys::add_data_key(&*store, team(1), ANY_DATA_KEY).await;
    let first = run(1, 1);
    assert_eq!(store.begin_run(&first).await, Ok(Begun::Ours));
    let within = at(2, 1, first.lease_ends_at);
    assert_eq!(store.begin_run(&within).await, Ok(known(&first, State::Running)));
    let after = at(3, 1, first.lease_ends_at + Duration::from_micros(1));
    assert_eq!(store.begin_run(&after).await, Ok(known(&first, State::Unknown)));
    // Even if it was only slow.
    assert_eq!(store.settle_run(first.team, first.id, done()).await, Ok(false));
    assert_eq!(store.release_run(first.team, first.id).await, Ok(()));
    assert_eq!(store.begin_run(&within).await, Ok(known(&first, State::Unknown)));
}

async fn a_name_is_free_again_after_a_day(store: Arc<dyn Store>) {
    keys::add_data_key(&*store, team(1), ANY_DATA_KEY).await;
    for (name, state) in [(1, Some(done())), (2, Some(State::Unknown)), (3, None)] {
        let first = run(name.into(), name);
        assert_eq!(store.begin_run(&first).await, Ok(Begun::Ours));
        let expected = state.clone().unwrap_or(State::Unknown);
        if let Some(state) = state {
            assert_eq!(store.settle_run(first.team, first.id, state).await, Ok(true));
        }
        let last = at(10 + u128::from(name), name, NOW + RETENTION);
        assert_eq!(store.begin_run(&last).await, Ok(known(&first, expected)));
        let over = at(20 + u128::from(name), name, NOW + RETENTION + Duration::from_micros(1));
        assert_eq!(store.begin_run(&over).await, Ok(Begun::Ours));
    }
}

async fn the_oldest_are_forgotten_in_batches(store: Arc<dyn Store>) {
    for number in 1..=5_u8 {
        let began_at = NOW + Duration::from_secs(number.into());
        let run = at(number.into(), number, began_at);
        assert_eq!(store.begin_run(&run).await, Ok(Begun::Ours));
    }
    let before = NOW + Duration::from_secs(4);
    assert_eq!(store.prune_runs(before, 2).await, Ok(2));
    assert_eq!(store.prune_runs(before, 2).await, Ok(1));
    assert_eq!(store.prune_runs(before, 2).await, Ok(0));
    for (number, free) in [(1_u8, true), (3, true), (4, false), (5, false)] {
        let began_at = NOW + Duration::from_secs(9);
        let begun = store.begin_run(&at(100 + u128::from(number), number, began_at)).await;
        assert_eq!(begun == Ok(Begun::Ours), free, "{number}");
    }
}

on_every_backend! {
    migrated:
    a_name_is_taken_once_and_keeps_what_came_of_it
    a_name_belongs_to_its_team_and_key
    a_released_name_is_free
    a_run_that_outlives_its_lease_is_unknown_for_ever
    a_name_is_free_again_after_a_day
    the_oldest_are_forgotten_in_batches
}

/// Two replicas of vault, or two pools of one: what holds is in the database.
async fn of_a_hundred_at_once_exactly_one_begins(url: String) {
    let other = Database::connect(&url.clone().into(), Pool::default()).await.expect("connects");
    let stores: [Arc<dyn Store>; 2] = [migrated(url).await, Arc::new(SqlStore::new(other))];
    for name in 1..=3_u8 {
        let racers = (0..100_u128).map(|number| {
            let store = Arc::clone(&stores[usize::from(number % 2 == 0)]);
            let new = run(u128::from(name) * 1000 + number, name);
            tokio::spawn(async move { store.begin_run(&new).await.map(|begun| (new, begun)) })
        });
        let racers: Vec<_> = racers.collect();
        let begun: Vec<_> = join_all(racers)
            .await
            .into_iter()
            .map(|begun| begun.expect("joins").expect("works"))
            .collect();
        let ours: Vec<_> = begun.iter().filter(|(_, begun)| *begun == Begun::Ours).collect();
        assert_eq!(ours.len(), 1);
        let (winner, _) = ours[0];
        let running = known(winner, State::Running);
        assert_eq!(begun.iter().filter(|(_, begun)| *begun == running).count(), 99);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_at_once_exactly_one_begins_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/store.db", folder.path().display());
    of_a_hundred_at_once_exactly_one_begins(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_at_once_exactly_one_begins_in_postgres() {
    let server = keystile_testkit::Postgres::start();
    of_a_hundred_at_once_exactly_one_begins(server.database()).await;
}
