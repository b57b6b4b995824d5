//! Integrations.

use std::sync::Arc;

use keystile_domain::{IntegrationId, Scope, name::Name};
use keystile_testkit::on_every_backend;

use super::{ANY_DATA_KEY, NOW, entry, keys, migrated, operation, sealed, team, trail, uuid};
use crate::{
    audit::{self, Entry},
    connection::{Connection, Issued, Scheme},
    integration::{GrantType, Integration, Status},
    store::{
        SealedCredential, Store,
        integrations::{Deletion, IntegrationPage},
    },
};

pub(super) fn int(number: u128) -> IntegrationId {
    IntegrationId::from_uuid(uuid(number))
}

pub(super) fn integration(owner: u128, number: u128, app: &str) -> Integration {
    Integration {
        id: int(number),
        team: team(owner),
        app: app.parse().expect("an app"),
        name: Name::new("Our client").expect("a name"),
        grant_type: GrantType::AuthorizationCode,
        client_id: "client".to_owned(),
        has_secret: true,
        scopes: vec!["a".to_owned(), "b".to_owned()],
        return_urls: vec!["https://app.example/done".to_owned()],
        status: Status::Configured,
        status_reason: String::new(),
        created_at: NOW,
        version: 1,
    }
}

/// An entry with that number, about the integration.
fn about(number: u128, action: &'static str, one: &Integration) -> Entry {
    let other = super::connection(one.team.as_uuid().as_u128(), 1, "sandbox");
    let subject = one.id.to_string();
    Entry { subject, ..entry(number, action, &other) }
}

pub(super) async fn add(store: &dyn Store, one: &Integration) {
    keys::add_data_key(store, one.team, ANY_DATA_KEY).await;
    let entry = about(one.id.as_uuid().as_u128() + 1000, audit::INTEGRATION_CREATED, one);
    store.insert_integration(one, &sealed(), &entry).await.expect("stored");
}

/// A connection through that integration.
pub(super) fn linked(owner: u128, number: u128, through: u128) -> Connection {
    Connection {
        scheme: Scheme::OAuth2,
        issued: Some(Issued {
            integration: int(through),
            scopes: vec!["a".to_owned()],
            expires_at: Some(NOW + time::Duration::minutes(60)),
            refresh_at: Some(NOW + time::Duration::minutes(50)),
        }),
        ..super::connection(owner, number, "sandbox")
    }
}

async fn switch(store: &dyn Store, to: Status, by: u128) -> (Integration, Option<(bool, u128)>) {
    let changed = |one: &Integration| about(by, audit::INTEGRATION_DISABLED, one);
    let switched = store.switch_integration(team(1), int(10), to, operation(by), &changed).await;
    let (one, row) = switched.expect("works").expect("there");
    (one, row.map(|row| (row.usable, row.operation.as_uuid().as_u128())))
}

async fn an_integration_comes_back_to_its_team_only(store: Arc<dyn Store>) {
    let own = integration(1, 10, "sandbox");
    add(&*store, &own).await;
    add(&*store, &integration(1, 11, "github")).await;
    assert_eq!(store.find_integration(team(1), own.id).await, Ok(Some((own.clone(), sealed()))));
    assert_eq!(store.find_integration(team(2), own.id).await, Ok(None));
    let list = async |owner, app: Option<&str>, before: Option<u128>| {
        let app = app.map(|app| app.parse().expect("an app"));
        let page = IntegrationPage { app, before: before.map(int), limit: 10 };
        let found = store.list_integrations(team(owner), &page).await.expect("works");
        found.into_iter().map(|one| one.id.as_uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(1, None, None).await, [11, 10]);
    assert_eq!(list(1, None, Some(11)).await, [10]);
    assert_eq!(list(1, Some("sandbox"), None).await, [10]);
    assert_eq!(list(2, None, None).await, [0; 0]);
    let foreign = Integration { team: team(2), version: 2, ..own.clone() };
    let changed = about(2, audit::INTEGRATION_UPDATED, &foreign);
    assert_eq!(store.update_integration(&foreign, &sealed(), &changed).await, Ok(false));
    let gone = |one: &Integration| about(3, audit::INTEGRATION_DELETED, one);
    let deleted = store.delete_integration(team(2), own.id, operation(3), NOW, &gone).await;
    assert_eq!(deleted, Ok(None));
    let to = Status::Disabled;
    let switched = store.switch_integration(team(2), own.id, to, operation(3), &gone).await;
    assert_eq!(switched, Ok(None));
    assert_eq!(trail(&*store, 2).await, []);
}

async fn of_two_changes_of_one_version_one_is_stored(store: Arc<dyn Store>) {
    let own = integration(1, 10, "sandbox");
    add(&*store, &own).await;
    let after = Integration { version: 2, client_id: "other".to_owned(), ..own };
    let client = SealedCredential { version: 2, ..keys::sealed_under(ANY_DATA_KEY, 8) };
    let changed = about(2, audit::INTEGRATION_UPDATED, &after);
    assert_eq!(store.update_integration(&after, &client, &changed).await, Ok(true));
    assert_eq!(store.update_integration(&after, &client, &changed).await, Ok(false));
    assert_eq!(store.find_integration(team(1), after.id).await, Ok(Some((after, client))));
    assert_eq!(trail(&*store, 1).await.len(), 2);
}

async fn a_switch_is_carried_once_and_in_order(store: Arc<dyn Store>) {
    add(&*store, &integration(1, 10, "sandbox")).await;
    // It was never disabled: nothing to carry.
    let (one, row) = switch(&*store, Status::Configured, 20).await;
    assert_eq!((one.version, row), (1, None));
    let (one, row) = switch(&*store, Status::Disabled, 21).await;
    assert_eq!((one.status, one.version, row), (Status::Disabled, 2, Some((false, 21))));
    let (_, row) = switch(&*store, Status::Disabled, 22).await;
    assert_eq!(row, Some((false, 21)), "the first stays");
    let (one, row) = switch(&*store, Status::Configured, 23).await;
    assert_eq!((one.status, row), (Status::Configured, Some((true, 23))));
    let due = store.outbox_due(Some(Scope::Integration(int(10))), 10).await.expect("works");
    assert_eq!(due.iter().map(|row| row.operation).collect::<Vec<_>>(), [operation(21)]);
    assert_eq!(trail(&*store, 1).await.len(), 3);
}

async fn one_that_has_connections_is_not_deleted(store: Arc<dyn Store>) {
    let own = integration(1, 10, "sandbox");
    add(&*store, &own).await;
    let connection = linked(1, 5, 10);
    super::add(&*store, &connection, 1).await;
    let found = store.find_connection(team(1), connection.id).await.expect("works");
    assert_eq!(found.expect("there").0, connection);
    let delete = async |by| {
        let gone = |one: &Integration| about(by, audit::INTEGRATION_DELETED, one);
        let deleted = store.delete_integration(team(1), own.id, operation(by), NOW, &gone).await;
        deleted.expect("works").expect("known")
    };
    assert_eq!(delete(30).await, Deletion::InUse);
    super::delete(&*store, 1, 5, 31).await.expect("deleted");
    let Deletion::Gone(row) = delete(32).await else { panic!("in use") };
    assert_eq!((row.operation, row.usable), (operation(32), false));
    assert_eq!(delete(33).await, Deletion::Gone(row));
    assert_eq!(store.find_integration(team(1), own.id).await, Ok(None));
}

async fn nothing_is_linked_through_one_that_is_not_configured(store: Arc<dyn Store>) {
    add(&*store, &integration(1, 10, "sandbox")).await;
    add(&*store, &Integration { status: Status::Draft, ..integration(1, 11, "sandbox") }).await;
    switch(&*store, Status::Disabled, 20).await;
    for (number, through) in [(1, 10), (2, 11), (3, 12)] {
        let connection = linked(1, number, through);
        let entry = entry(number, audit::CREATED, &connection);
        let inserted = store.insert_connection(&connection, &sealed(), &entry).await;
        assert_eq!(inserted, Ok(false), "{through}");
    }
    switch(&*store, Status::Configured, 21).await;
    super::add(&*store, &linked(1, 1, 10), 1).await;
}

on_every_backend! {
    migrated:
    an_integration_comes_back_to_its_team_only
    of_two_changes_of_one_version_one_is_stored
    a_switch_is_carried_once_and_in_order
    one_that_has_connections_is_not_deleted
    nothing_is_linked_through_one_that_is_not_configured
}
