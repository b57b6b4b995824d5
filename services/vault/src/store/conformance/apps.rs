//! Apps of teams.

use std::sync::Arc;

use keystile_testkit::on_every_backend;

use super::{NOW, connection, delete, entry, integrations, migrated, team};
use crate::{apps::OwnApp, audit, store::Store};

fn own(owner: u128, key: &str, version: u64, document: Option<&str>) -> OwnApp {
    OwnApp {
        team: team(owner),
        key: key.parse().expect("an app key"),
        version,
        document: document.map(str::to_owned),
        created_at: NOW,
        created_by: "ada@example.com".to_owned(),
    }
}

/// Stores it with an entry of that number.
async fn add(store: &dyn Store, own: &OwnApp, number: u128) -> bool {
    let about = connection(own.team.as_uuid().as_u128(), 1, "sandbox");
    let entry = entry(number, audit::APP_ADDED, &about);
    store.insert_app(own, &entry).await.expect("works")
}

async fn versions_follow_one_another_and_stay(store: Arc<dyn Store>) {
    let (first, second) = (own(1, "acme", 1, Some("one")), own(1, "acme", 2, Some("two")));
    assert!(!add(&*store, &second, 1).await, "there is no first");
    assert!(add(&*store, &first, 1).await);
    assert!(!add(&*store, &first, 2).await, "stored already");
    assert!(add(&*store, &second, 2).await);
    let key = &first.key;
    assert_eq!(store.app_version(team(1), key).await, Ok(Some(2)));
    assert_eq!(store.find_app(team(1), key, Some(1)).await, Ok(Some(first.clone())));
    assert_eq!(store.find_app(team(1), key, None).await, Ok(Some(second.clone())));
    assert_eq!(store.find_app(team(1), key, Some(3)).await, Ok(None));
    assert_eq!(super::trail(&*store, 1).await.len(), 2);
}

async fn a_removal_is_a_version_too(store: Arc<dyn Store>) {
    let key = own(1, "acme", 1, None).key;
    for (version, document) in [(1, Some("one")), (2, None)] {
        assert!(add(&*store, &own(1, "acme", version, document), version.into()).await);
    }
    assert_eq!(store.app_version(team(1), &key).await, Ok(None));
    assert_eq!(store.current_apps(team(1)).await, Ok(Vec::new()));
    let newest = store.find_app(team(1), &key, None).await.expect("works").expect("there");
    assert_eq!((newest.version, newest.document), (2, None));
    assert!(add(&*store, &own(1, "acme", 3, Some("three")), 3).await);
    assert_eq!(store.app_version(team(1), &key).await, Ok(Some(3)));
}

async fn apps_belong_to_a_team(store: Arc<dyn Store>) {
    assert!(add(&*store, &own(1, "beta", 1, Some("x")), 1).await);
    assert!(add(&*store, &own(1, "alpha", 1, Some("x")), 2).await);
    assert!(add(&*store, &own(2, "beta", 1, Some("y")), 3).await);
    let current = store.current_apps(team(1)).await.expect("works");
    let expected = ["alpha", "beta"].map(|key| own(1, key, 1, None));
    assert_eq!(current, expected, "by key, without the documents");
    let beta = own(2, "beta", 1, Some("y"));
    assert_eq!(store.find_app(team(2), &beta.key, None).await, Ok(Some(beta.clone())));
    assert_eq!(store.app_version(team(3), &beta.key).await, Ok(None));
}

async fn of_many_who_add_a_version_one_does(store: Arc<dyn Store>) {
    let own = own(1, "acme", 1, Some("one"));
    let adds = (1..=8).map(|number| add(&*store, &own, number));
    let added = futures::future::join_all(adds).await;
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
    assert_eq!(super::trail(&*store, 1).await.len(), 1);
}

async fn an_app_with_connections_or_integrations_is_used(store: Arc<dyn Store>) {
    let sandbox = "sandbox".parse().expect("an app key");
    assert_eq!(store.app_is_used(team(1), &sandbox).await, Ok(false));
    super::add(&*store, &connection(1, 1, "sandbox"), 1).await;
    assert_eq!(store.app_is_used(team(1), &sandbox).await, Ok(true));
    assert_eq!(store.app_is_used(team(2), &sandbox).await, Ok(false));
    delete(&*store, 1, 1, 20).await.expect("deleted");
    assert_eq!(store.app_is_used(team(1), &sandbox).await, Ok(false));
    integrations::add(&*store, &integrations::integration(1, 10, "sandbox")).await;
    assert_eq!(store.app_is_used(team(1), &sandbox).await, Ok(true));
}

on_every_backend! {
    migrated:
    versions_follow_one_another_and_stay
    a_removal_is_a_version_too
    apps_belong_to_a_team
    of_many_who_add_a_version_one_does
    an_app_with_connections_or_integrations_is_used
}
