//! The promises of [`Store`], tested on every backend there is.

mod apps;
mod flows;
mod idempotency;
mod integrations;
mod keys;
mod refresh;

use std::{sync::Arc, time::Duration};

use keystile_domain::{
    Actor, AuditId, ConnectionId, MemberRole, OperationId, Scope, TeamId, UserId, log::Receipt,
    name::Name, permission::Principal,
};
use keystile_sql::{Database, Pool};
use keystile_testkit::on_every_backend;
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{AuditPage, ConnectionPage, SealedCredential, Settled, Store, sql::SqlStore};
use crate::{
    audit::{self, Author, Entry, Who},
    connection::{Connection, Health, Scheme, Status},
};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
/// The data key of every connection here.
const ANY_DATA_KEY: u128 = 99;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn team(number: u128) -> TeamId {
    TeamId::from_uuid(uuid(number))
}

fn id(number: u128) -> ConnectionId {
    ConnectionId::from_uuid(uuid(number))
}

fn operation(number: u128) -> OperationId {
    OperationId::from_uuid(uuid(number))
}

pub(crate) fn connection(owner: u128, number: u128, app: &str) -> Connection {
    Connection {
        id: id(number),
        team: team(owner),
        app: app.parse().expect("an app"),
        name: Name::new("Ada's account").expect("a name"),
        health: Health::active(),
        scheme: Scheme::Bearer,
        created_at: NOW,
        last_used_at: None,
        issued: None,
    }
}

/// A credential as [`add`] stores it.
fn sealed() -> SealedCredential {
    keys::sealed_under(ANY_DATA_KEY, 1)
}

/// An entry with that number, about the connection.
fn entry(number: u128, action: &'static str, connection: &Connection) -> Entry {
    let actor = Actor {
        principal: Principal::User(UserId::from_uuid(uuid(1))),
        label: "ada@example.com".to_owned(),
        team: Some(connection.team),
        permissions: MemberRole::Owner.permissions(),
        request_id: "req-1".to_owned(),
        source_ip: Some("192.0.2.1".parse().expect("an address")),
    };
    let author = Author::new(Who::of(&actor), NOW, &keystile_testkit::SeededEntropy::new(1));
    let entry = author.entry(action, connection, None, Some(connection));
    Entry { id: AuditId::from_uuid(uuid(number)), ..entry }
}

pub(crate) async fn add(store: &dyn Store, connection: &Connection, number: u128) {
    keys::add_data_key(store, connection.team, ANY_DATA_KEY).await;
    let entry = entry(number, audit::CREATED, connection);
    assert_eq!(store.insert_connection(connection, &sealed(), &entry).await, Ok(true));
}

pub(crate) async fn delete(
    store: &dyn Store,
    owner: u128,
    number: u128,
    by: u128,
) -> Option<super::OutboxRow> {
    let operation = operation(by);
    store
        .delete_connection(team(owner), id(number), operation, NOW, &|connection| Entry {
            operation: Some(operation),
            ..entry(by, audit::DELETED, connection)
        })
        .await
        .expect("works")
}

async fn trail(store: &dyn Store, owner: u128) -> Vec<(Entry, u64)> {
    let page = AuditPage { subject: None, before: None, limit: 100 };
    store.list_audit(team(owner), &page).await.expect("works")
}

const RECEIPT: Receipt =
    Receipt { seq: 9, acknowledged: 2, waited_out: 1, elapsed: Duration::from_micros(1500) };
pub(crate) const SETTLED: Settled = Settled { receipt: Some(RECEIPT) };

async fn what_belongs_to_another_team_is_not_there(store: Arc<dyn Store>) {
    let own = connection(1, 10, "sandbox");
    add(&*store, &own, 1).await;
    assert_eq!(store.find_connection(team(1), own.id).await, Ok(Some((own.clone(), sealed()))));

    assert_eq!(store.find_connection(team(2), own.id).await, Ok(None));
    let page = ConnectionPage { app: None, before: None, limit: 10 };
    assert_eq!(store.list_connections(team(2), &page).await, Ok(Vec::new()));
    let failing = Health::because(Status::Failing, "unreachable");
    let changed = |found: &Connection| entry(2, audit::TESTED, found);
    assert_eq!(store.set_health(team(2), own.id, &failing, &changed).await, Ok(None));
    assert_eq!(store.touch(team(2), own.id, NOW).await, Ok(()));
    assert_eq!(delete(&*store, 2, 10, 3).await, None);
    assert!(trail(&*store, 2).await.is_empty());

    assert_eq!(store.find_connection(team(1), own.id).await, Ok(Some((own, sealed()))));
    assert_eq!(trail(&*store, 1).await.len(), 1);
    assert_eq!(store.outbox_due(None, 10).await, Ok(Vec::new()));
}

async fn connections_are_listed_newest_first_in_pages(store: Arc<dyn Store>) {
    for (number, app) in [(1, "sandbox"), (2, "github"), (3, "sandbox"), (4, "sandbox")] {
        add(&*store, &connection(1, number, app), number).await;
    }
    let list = async |app: Option<&str>, before: Option<u128>, limit| {
        let app = app.map(|app| app.parse().expect("an app"));
        let page = ConnectionPage { app, before: before.map(id), limit };
        let found = store.list_connections(team(1), &page).await.expect("works");
        found.into_iter().map(|connection| connection.id.as_uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 3).await, [4, 3, 2]);
    assert_eq!(list(None, Some(2), 3).await, [1]);
    assert_eq!(list(Some("sandbox"), None, 10).await, [4, 3, 1]);
    assert_eq!(list(Some("sandbox"), Some(3), 10).await, [1]);
    delete(&*store, 1, 3, 50).await.expect("deleted");
    assert_eq!(list(None, None, 10).await, [4, 2, 1]);
}

async fn health_is_stored_with_its_entry(store: Arc<dyn Store>) {
    let own = connection(1, 10, "sandbox");
    add(&*store, &own, 1).await;
    let expired = Health::because(Status::Expired, "credential_refused");
    let changed = |found: &Connection| entry(2, audit::TESTED, found);
    let stored = store.set_health(team(1), own.id, &expired, &changed).await;
    let expected = Connection { health: expired, ..own.clone() };
    assert_eq!(stored, Ok(Some(expected.clone())));
    assert_eq!(store.find_connection(team(1), own.id).await, Ok(Some((expected, sealed()))));
    let actions: Vec<_> = trail(&*store, 1).await.iter().map(|(entry, _)| entry.action).collect();
    assert_eq!(actions, [audit::TESTED, audit::CREATED]);
}

async fn a_batch_is_what_there_is_of_it(store: Arc<dyn Store>) {
    for (owner, number) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
        add(&*store, &connection(owner, number, "sandbox"), number).await;
    }
    delete(&*store, 1, 4, 50).await.expect("deleted");
    let found = store.find_connections(team(1), &[id(2), id(3), id(4), id(9)]).await;
    assert_eq!(found, Ok(vec![connection(1, 2, "sandbox")]));
    assert_eq!(store.find_connections(team(1), &[]).await, Ok(Vec::new()));
}

async fn last_use_only_moves_forward(store: Arc<dyn Store>) {
    let own = connection(1, 10, "sandbox");
    add(&*store, &own, 1).await;
    for at in [NOW + Duration::from_secs(2), NOW] {
        store.touch(team(1), own.id, at).await.expect("works");
    }
    let (found, _) = store.find_connection(team(1), own.id).await.expect("works").expect("there");
    assert_eq!(found.last_used_at, Some(NOW + Duration::from_secs(2)));
}

async fn a_deletion_is_one_step_and_happens_once(store: Arc<dyn Store>) {
    let own = connection(1, 10, "sandbox");
    add(&*store, &own, 1).await;
    let cut = delete(&*store, 1, 10, 20).await.expect("deleted");
    assert_eq!((cut.operation, cut.scope), (operation(20), Scope::Connection(own.id)));
    assert_eq!((cut.team, cut.usable, cut.settled), (team(1), false, None));
    assert_eq!(store.find_connection(team(1), own.id).await, Ok(None));
    assert_eq!(store.touch(team(1), own.id, NOW).await, Ok(()));

    let again = delete(&*store, 1, 10, 21).await;
    assert_eq!(again, Some(cut.clone()));
    assert_eq!(store.outbox_due(None, 10).await, Ok(vec![cut.clone()]));

    let trail_then = trail(&*store, 1).await;
    assert_eq!(trail_then.len(), 2);
    assert_eq!((trail_then[0].0.action, trail_then[0].1), (audit::DELETED, 0));

    store.settle(cut.operation, SETTLED, NOW).await.expect("works");
    assert_eq!(store.outbox_due(None, 10).await, Ok(Vec::new()));
    store.settle(cut.operation, Settled { receipt: None }, NOW).await.expect("works");
    let settled = super::OutboxRow { settled: Some(SETTLED), ..cut };
    assert_eq!(delete(&*store, 1, 10, 22).await, Some(settled.clone()));
    assert_eq!(store.outbox_row(settled.operation).await, Ok(Some(settled)));
    assert_eq!(store.outbox_row(operation(21)).await, Ok(None));
    assert_eq!(trail(&*store, 1).await[0].1, RECEIPT.seq);
}

async fn what_is_due_comes_in_order(store: Arc<dyn Store>) {
    for number in 1..=3 {
        add(&*store, &connection(1, number, "sandbox"), number).await;
        delete(&*store, 1, number, 10 + number).await.expect("deleted");
    }
    let due = async |scope, limit| {
        let due = store.outbox_due(scope, limit).await.expect("works");
        due.into_iter().map(|row| row.operation).collect::<Vec<_>>()
    };
    assert_eq!(due(None, 10).await, [operation(11), operation(12), operation(13)]);
    assert_eq!(due(None, 2).await, [operation(11), operation(12)]);
    assert_eq!(due(Some(Scope::Connection(id(2))), 10).await, [operation(12)]);
    store.settle(operation(11), SETTLED, NOW).await.expect("works");
    assert_eq!(due(None, 1).await, [operation(12)]);
    // What waits for nobody is settled without a receipt.
    store.settle(operation(12), Settled { receipt: None }, NOW).await.expect("works");
    assert_eq!(due(None, 10).await, [operation(13)]);
    let row = store.outbox_row(operation(12)).await.expect("works").expect("there");
    assert_eq!(row.settled, Some(Settled { receipt: None }));
}

async fn an_entry_comes_back_as_it_was_written(store: Arc<dyn Store>) {
    let first = connection(1, 10, "sandbox");
    let second = connection(1, 11, "sandbox");
    add(&*store, &first, 1).await;
    add(&*store, &second, 2).await;
    let list = async |subject: Option<ConnectionId>, before: Option<u128>, limit| {
        let page = AuditPage {
            subject: subject.map(|id| id.to_string()),
            before: before.map(|number| AuditId::from_uuid(uuid(number))),
            limit,
        };
        let found = store.list_audit(team(1), &page).await.expect("works");
        found.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>()
    };
    let entries = [entry(2, audit::CREATED, &second), entry(1, audit::CREATED, &first)];
    assert_eq!(list(None, None, 10).await, entries);
    assert_eq!(list(None, None, 1).await, entries[..1]);
    assert_eq!(list(None, Some(2), 10).await, entries[1..]);
    assert_eq!(list(Some(first.id), None, 10).await, entries[1..]);
}

/// A store in a file, for as long as the folder is kept.
pub(crate) async fn sqlite() -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = migrated(format!("sqlite://{}/store.db", folder.path().display())).await;
    (store, folder)
}

async fn migrated(url: String) -> Arc<dyn Store> {
    let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
    assert!(!SqlStore::pending(&database).await.expect("works").is_empty());
    SqlStore::migrate(&database).await.expect("migrates");
    assert_eq!(SqlStore::pending(&database).await, Ok(Vec::new()));
    Arc::new(SqlStore::new(database))
}

on_every_backend! {
    migrated:
    what_belongs_to_another_team_is_not_there
    connections_are_listed_newest_first_in_pages
    health_is_stored_with_its_entry
    a_batch_is_what_there_is_of_it
    last_use_only_moves_forward
    a_deletion_is_one_step_and_happens_once
    what_is_due_comes_in_order
    an_entry_comes_back_as_it_was_written
}
