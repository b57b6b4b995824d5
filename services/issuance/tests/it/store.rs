//! The stores that pass the conformance suite: memory, SQLite and Postgres.

mod conformance;

use conformance::Bench;
use keystile_domain::{Incarnation, log::Nonce};
use keystile_issuance::store::{Store as _, memory::MemoryStore, sql::SqlStore};
use keystile_sql::Database;
use keystile_testkit::{Postgres, SeededEntropy};

use crate::world::{HISTORY, migrated, sqlite};

async fn open(database: Database, seed: u64) -> SqlStore {
    SqlStore::open(database, &SeededEntropy::new(seed)).await.expect("opens")
}

async fn benches() -> [Bench; 3] {
    let (folder, sqlite) = sqlite().await;
    let server = Postgres::start();
    let postgres = migrated(server.database()).await;
    [
        Bench::new(MemoryStore::new(HISTORY, Nonce([0; 16])), true, ()),
        Bench::new(open(sqlite, 3).await, false, folder),
        Bench::new(open(postgres, 3).await, true, server),
    ]
}

#[tokio::test]
async fn a_primary_that_takes_over_begins_another_history_that_is_not_settled() {
    let mut server = Postgres::start();
    let url = server.database();
    let before = open(migrated(url.clone()).await, 3).await.epoch().await.expect("read");
    assert_eq!((before.history.timeline, before.settled), (1, before.history));
    server.fail_over();
    let store = open(migrated(url).await, 3).await;
    let after = store.epoch().await.expect("read");
    assert_eq!(after.history.database, before.history.database);
    assert_eq!((after.history.timeline, after.settled), (2, before.history));
    let renewal = store.renewal(Incarnation::from_uuid(uuid::Uuid::nil()), 0).await;
    assert_eq!(renewal.expect("read").epoch.history, after.history);
}

#[tokio::test]
async fn a_database_keeps_its_history_when_it_is_opened_again() {
    let (_folder, database) = sqlite().await;
    let (first, again) = (open(database.clone(), 1).await, open(database, 2).await);
    let (first, again) = (first.epoch().await.expect("reads"), again.epoch().await.expect("reads"));
    assert_eq!(first, again);
}
