//! Who may exchange a refresh token.

use std::{sync::Arc, time::Duration};

use keystile_testkit::on_every_backend;
use time::OffsetDateTime;

use super::{
    ANY_DATA_KEY, NOW, delete, entry, id,
    integrations::{add, integration, linked},
    keys, migrated, sealed, team, trail,
};
use crate::{
    audit,
    connection::{Connection, Health, Issued, Status},
    store::{
        SealedCredential, Store,
        refresh::{Claim, Fence, Refreshed},
    },
};

const TTL: Duration = Duration::from_secs(10);

async fn connected(store: &dyn Store) -> Connection {
    add(store, &integration(1, 10, "sandbox")).await;
    let connection = linked(1, 5, 10);
    super::add(store, &connection, 1).await;
    connection
}

async fn claim(store: &dyn Store, version: u64, now: OffsetDateTime) -> Claim {
    let lost = |found: &Connection| entry(7, audit::STATUS_CHANGED, found);
    store.claim_refresh(team(1), id(5), version, now, now + TTL, &lost).await.expect("works")
}

async fn won(store: &dyn Store, version: u64, now: OffsetDateTime) -> Fence {
    match claim(store, version, now).await {
        Claim::Won(fence) => fence,
        other => panic!("{other:?}"),
    }
}

fn next() -> (SealedCredential, Issued) {
    let issued = Issued {
        scopes: vec!["a".to_owned(), "b".to_owned()],
        expires_at: Some(NOW + time::Duration::minutes(120)),
        refresh_at: None,
        ..linked(1, 5, 10).issued.expect("of a provider")
    };
    (SealedCredential { version: 2, ..keys::sealed_under(ANY_DATA_KEY, 8) }, issued)
}

async fn finish(store: &dyn Store, fence: Fence) -> bool {
    let (credential, issued) = next();
    let changed = |found: &Connection| entry(8, audit::STATUS_CHANGED, found);
    let refreshed = Refreshed { credential, issued, health: Health::active() };
    store.finish_refresh(team(1), id(5), fence, &refreshed, &changed).await.expect("works")
}

async fn status(store: &dyn Store) -> (Health, u64) {
    let (found, sealed) =
        store.find_connection(team(1), id(5)).await.expect("works").expect("there");
    (found.health, sealed.version)
}

async fn one_claims_and_what_it_brings_is_kept(store: Arc<dyn Store>) {
    let before = connected(&*store).await;
    assert_eq!(claim(&*store, 2, NOW).await, Claim::Changed, "another version");
    let fence = won(&*store, 1, NOW).await;
    assert_eq!(claim(&*store, 1, NOW).await, Claim::Busy);
    assert_eq!(store.begin_exchange(id(5), Fence(fence.0 + 1), NOW + TTL).await, Ok(false));
    assert_eq!(store.begin_exchange(id(5), fence, NOW + TTL).await, Ok(true));
    assert_eq!(store.begin_exchange(id(5), fence, NOW + TTL).await, Ok(false), "begun already");
    assert_eq!(claim(&*store, 1, NOW).await, Claim::Busy);
    assert!(finish(&*store, fence).await);
    let (credential, issued) = next();
    let after = Connection { issued: Some(issued), ..before };
    assert_eq!(store.find_connection(team(1), id(5)).await, Ok(Some((after, credential))));
    assert_eq!(claim(&*store, 1, NOW).await, Claim::Changed);
    assert_eq!(trail(&*store, 1).await.len(), 2, "it was active before: no entry");
}

async fn a_claim_that_lapsed_before_its_exchange_is_anothers(store: Arc<dyn Store>) {
    connected(&*store).await;
    let first = won(&*store, 1, NOW).await;
    let second = won(&*store, 1, NOW + TTL).await;
    assert_eq!(store.begin_exchange(id(5), first, NOW + TTL).await, Ok(false));
    assert_eq!(store.begin_exchange(id(5), second, NOW + TTL + TTL).await, Ok(true));
    assert!(!finish(&*store, first).await);
    assert!(finish(&*store, second).await);
}

async fn an_exchange_that_lapsed_is_never_repeated(store: Arc<dyn Store>) {
    connected(&*store).await;
    let fence = won(&*store, 1, NOW).await;
    assert_eq!(store.begin_exchange(id(5), fence, NOW + TTL).await, Ok(true));
    let due = store.due_refreshes(NOW + TTL, 10).await;
    assert_eq!(due, Ok(vec![(team(1), id(5))]));
    assert_eq!(claim(&*store, 1, NOW + TTL).await, Claim::Changed);
    let lost = Health::because(Status::Expired, "refresh_outcome_unknown");
    assert_eq!(status(&*store).await, (lost, 1));
    assert_eq!(claim(&*store, 1, NOW + TTL + TTL).await, Claim::Changed);
    assert_eq!(store.due_refreshes(NOW + Duration::from_hours(9), 10).await, Ok(Vec::new()));
    let changed = trail(&*store, 1).await;
    let changed = changed.iter().filter(|(entry, _)| entry.action == audit::STATUS_CHANGED);
    assert_eq!(changed.count(), 1);
    // Its outcome is not lost after all: it was only slow.
    assert!(finish(&*store, fence).await);
    assert_eq!(status(&*store).await, (Health::active(), 2));
}

async fn a_failure_ends_a_claim(store: Arc<dyn Store>) {
    connected(&*store).await;
    let fence = won(&*store, 1, NOW).await;
    let failing = Health::because(Status::Failing, "provider_unavailable");
    let changed = |found: &Connection| entry(9, audit::STATUS_CHANGED, found);
    let again = Some(NOW + Duration::from_secs(30));
    let fail = async |fence| {
        store.fail_refresh(team(1), id(5), fence, &failing, again, &changed).await.expect("works")
    };
    assert!(!fail(Fence(fence.0 + 1)).await);
    assert!(fail(fence).await);
    assert!(!fail(fence).await, "ended");
    assert_eq!(status(&*store).await, (failing.clone(), 1));
    assert_eq!(store.due_refreshes(NOW + Duration::from_secs(29), 10).await, Ok(Vec::new()));
    let due = store.due_refreshes(NOW + Duration::from_secs(30), 10).await;
    assert_eq!(due, Ok(vec![(team(1), id(5))]));
    let fence = won(&*store, 1, NOW).await;
    assert!(finish(&*store, fence).await);
    assert_eq!(trail(&*store, 1).await.len(), 4, "failing and active again");
}

async fn who_connects_again_wins_over_a_refresh(store: Arc<dyn Store>) {
    let before = connected(&*store).await;
    let fence = won(&*store, 1, NOW).await;
    assert_eq!(store.begin_exchange(id(5), fence, NOW + TTL).await, Ok(true));
    let (credential, issued) = next();
    let again = Connection { issued: Some(issued), ..before };
    let changed = |found: &Connection| entry(9, audit::RECONNECTED, found);
    let stale = SealedCredential { version: 3, ..credential.clone() };
    assert_eq!(store.replace_credential(&again, &stale, &changed).await, Ok(false));
    assert_eq!(store.replace_credential(&again, &credential, &changed).await, Ok(true));
    assert!(!finish(&*store, fence).await);
    assert_eq!(status(&*store).await, (Health::active(), 2));
    won(&*store, 2, NOW).await;
}

async fn nothing_comes_back_to_a_connection_that_is_gone(store: Arc<dyn Store>) {
    let before = connected(&*store).await;
    let fence = won(&*store, 1, NOW).await;
    delete(&*store, 1, 5, 20).await.expect("deleted");
    assert_eq!(store.begin_exchange(id(5), fence, NOW + TTL).await, Ok(false));
    assert!(!finish(&*store, fence).await);
    assert_eq!(claim(&*store, 1, NOW).await, Claim::Changed);
    let changed = |found: &Connection| entry(9, audit::RECONNECTED, found);
    let next = SealedCredential { version: 2, ..sealed() };
    assert_eq!(store.replace_credential(&before, &next, &changed).await, Ok(false));
    assert_eq!(store.due_refreshes(NOW + Duration::from_hours(9), 10).await, Ok(Vec::new()));
}

async fn of_many_who_claim_one_does(store: Arc<dyn Store>) {
    connected(&*store).await;
    let claims = (0..16).map(|_| claim(&*store, 1, NOW));
    let claims = futures::future::join_all(claims).await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Won(_))).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Busy).count(), 15);
}

on_every_backend! {
    migrated:
    one_claims_and_what_it_brings_is_kept
    a_claim_that_lapsed_before_its_exchange_is_anothers
    an_exchange_that_lapsed_is_never_repeated
    a_failure_ends_a_claim
    who_connects_again_wins_over_a_refresh
    nothing_comes_back_to_a_connection_that_is_gone
    of_many_who_claim_one_does
}
