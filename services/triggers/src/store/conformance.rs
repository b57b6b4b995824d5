//! The promises of [`Store`], tested on every backend there is.

use std::sync::Arc;

use keystile_domain::{
    KeyId, Position, Scope, TeamId,
    log::{Applied, History, Nonce},
};
use keystile_sql::{Database, Pool};
use keystile_testkit::on_every_backend;
use uuid::Uuid;

use super::{Store, memory::MemoryStore, sql::SqlStore};

fn at(history: u8, seq: u64) -> Applied {
    let position = Position { history: History { database: [history; 16], timeline: 0 }, seq };
    Applied { position, nonce: Nonce(u128::from(seq).to_be_bytes()) }
}

fn key(number: u128) -> Scope {
    Scope::Key(KeyId::from_uuid(Uuid::from_u128(number)))
}

/// The same number as a key: another scope.
fn team(number: u128) -> Scope {
    Scope::Team(TeamId::from_uuid(Uuid::from_u128(number)))
}

async fn it_begins_with_nothing(store: Arc<dyn Store>) {
    assert_eq!(store.applied().await, Ok(None));
    assert_eq!(store.tombstones().await, Ok(0));
}

async fn tombstones_and_position_move_together(store: Arc<dyn Store>) {
    store.reset(&at(1, 4)).await.expect("works");
    assert_eq!(store.applied().await, Ok(Some(at(1, 4))));
    let changed = [(key(1), 5), (team(1), 6), (key(1), 7)];
    store.advance(&at(1, 7), &changed).await.expect("works");
    assert_eq!(store.applied().await, Ok(Some(at(1, 7))));
    assert_eq!(store.tombstones().await, Ok(2));
}

async fn rows_that_come_again_change_nothing(store: Arc<dyn Store>) {
    store.advance(&at(1, 7), &[(key(1), 5), (key(2), 7)]).await.expect("works");
    store.advance(&at(1, 5), &[(key(1), 5)]).await.expect("works");
    assert_eq!(store.applied().await, Ok(Some(at(1, 7))));
    assert_eq!(store.tombstones().await, Ok(2));
}

async fn another_history_starts_over(store: Arc<dyn Store>) {
    store.advance(&at(1, 7), &[(key(1), 7)]).await.expect("works");
    store.reset(&at(2, 3)).await.expect("works");
    assert_eq!(store.applied().await, Ok(Some(at(2, 3))));
    assert_eq!(store.tombstones().await, Ok(0));
}

async fn a_long_log_is_one_step(store: Arc<dyn Store>) {
    let changed: Vec<_> = (1..=2_500).map(|seq| (key(seq.into()), seq)).collect();
    store.advance(&at(1, 2_500), &changed).await.expect("works");
    assert_eq!(store.tombstones().await, Ok(2_500));
}

async fn migrated(url: String) -> Arc<dyn Store> {
    let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
    assert!(!SqlStore::pending(&database).await.expect("works").is_empty());
    SqlStore::migrate(&database).await.expect("migrates");
    assert_eq!(SqlStore::pending(&database).await, Ok(Vec::new()));
    Arc::new(SqlStore::new(database))
}

on_every_backend! {
    Arc::new(MemoryStore::default()), migrated:
    it_begins_with_nothing
    tombstones_and_position_move_together
    rows_that_come_again_change_nothing
    another_history_starts_over
    a_long_log_is_one_step
}
