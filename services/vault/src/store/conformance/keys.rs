//! The promises of [`KeyStore`](crate::store::KeyStore), tested on every backend there is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keystile_domain::TeamId;
use keystile_seal::{DataKeyId, DataKeyRecord, USE_LIMIT};
use keystile_testkit::on_every_backend;

use super::{NOW, connection, delete, entry, migrated, team, uuid};
use crate::{
    audit,
    keys::CREDENTIAL,
    store::{
        Error, SealedCredential, Store,
        keys::{Reader, SealedRow, Wrapping},
    },
};

fn data_key(owner: u128, number: u128, kek_version: u32, uses: u64) -> DataKeyRecord {
    let id = DataKeyId::from_uuid(uuid(number));
    DataKeyRecord { id, team: team(owner), kek_version, wrapped: vec![1, 2, 3], uses }
}

/// Adds that data key, wrapped by version 1, unless it is there.
pub(super) async fn add_data_key(store: &dyn Store, owner: TeamId, number: u128) {
    let record = DataKeyRecord { team: owner, ..data_key(0, number, 1, 0) };
    match store.insert_data_key(&record, NOW).await {
        Ok(true) | Err(Error::UniqueViolation) => {}
        other => panic!("{other:?}"),
    }
}

/// Looks like what that data key sealed.
pub(super) fn sealed_under(number: u128, noise: u8) -> SealedCredential {
    let bytes = [&[1], &uuid(number).as_bytes()[..], &[noise; 50]].concat();
    SealedCredential { version: 1, bytes }
}

/// The same as a row of connection `of`.
fn row(of: u128, sealed: &SealedCredential) -> SealedRow {
    SealedRow {
        purpose: CREDENTIAL,
        id: uuid(of),
        row: super::id(of).to_string(),
        version: sealed.version,
        bytes: sealed.bytes.clone(),
    }
}

async fn add(store: &dyn Store, record: &DataKeyRecord) {
    assert_eq!(store.insert_data_key(record, NOW).await, Ok(true));
}

async fn link(
    store: &dyn Store,
    owner: u128,
    number: u128,
    sealed: &SealedCredential,
) -> Result<(), Error> {
    let connection = connection(owner, number, "sandbox");
    let entry = entry(number, audit::CREATED, &connection);
    assert!(store.insert_connection(&connection, sealed, &entry).await?);
    Ok(())
}

async fn the_newest_data_key_that_may_still_seal_is_current(store: Arc<dyn Store>) {
    assert_eq!(store.current_data_key(team(1)).await, Ok(None));
    let first = data_key(1, 1, 1, 0);
    let second = data_key(1, 2, 2, USE_LIMIT - 3);
    add(&*store, &first).await;
    let later = NOW + Duration::from_secs(1);
    assert_eq!(store.insert_data_key(&second, later).await, Ok(true));
    assert_eq!(store.current_data_key(team(1)).await, Ok(Some(second.clone())));
    assert_eq!(store.current_data_key(team(2)).await, Ok(None));

    assert_eq!(store.count_uses(team(2), second.id, 1).await, Ok(false));
    assert_eq!(store.count_uses(team(1), second.id, 3).await, Ok(false));
    assert_eq!(store.count_uses(team(1), second.id, 2).await, Ok(true));
    assert_eq!(store.count_uses(team(1), second.id, 1).await, Ok(false));
    assert_eq!(store.current_data_key(team(1)).await, Ok(Some(first)));

    let spent = DataKeyRecord { uses: USE_LIMIT - 1, ..second };
    assert_eq!(store.find_data_key(team(1), spent.id).await, Ok(Some(spent.clone())));
    assert_eq!(store.find_data_key(team(2), spent.id).await, Ok(None));
}

async fn data_keys_are_counted_and_sampled_by_key_encryption_key(store: Arc<dyn Store>) {
    for (number, version) in [(1, 1), (2, 3), (3, 1)] {
        add(&*store, &data_key(number, number, version, 0)).await;
    }
    let samples = store.data_key_samples().await.expect("works");
    let mut versions: Vec<_> = samples.iter().map(|key| key.kek_version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 3]);
    assert_eq!(store.data_key_counts().await, Ok(BTreeMap::from([(1, 2), (3, 1)])));
    let (count, first) = store.wrapped_below(3, 1).await.expect("works");
    assert_eq!((count, first.len(), first[0].kek_version), (2, 1, 1));
    assert_eq!(store.wrapped_below(1, 9).await, Ok((0, vec![])));
}

async fn what_wraps_only_becomes_newer_and_nothing_comes_under_an_older_one(store: Arc<dyn Store>) {
    let wrapping = async |version, announced| {
        assert_eq!(store.wrapping().await, Ok(Wrapping { version, announced }));
    };
    wrapping(0, 0).await;
    store.raise(1).await.expect("works");
    wrapping(1, 1).await;
    store.announce(3).await.expect("works");
    store.announce(2).await.expect("works");
    wrapping(1, 3).await;
    add(&*store, &data_key(1, 1, 1, 0)).await;
    store.raise(2).await.expect("works");
    store.raise(1).await.expect("works");
    wrapping(2, 3).await;

    let late = data_key(1, 2, 1, 0);
    assert_eq!(store.insert_data_key(&late, NOW).await, Ok(false));
    assert_eq!(store.replace_data_key(&late, NOW).await, Ok(false));
    assert_eq!(store.find_data_key(team(1), late.id).await, Ok(None));
    assert_eq!(store.retired_data_keys(team(1)).await, Ok(vec![]), "by half is not at all");
    add(&*store, &data_key(1, 3, 2, 0)).await;
}

async fn a_data_key_is_rewrapped_only_from_what_was_read(store: Arc<dyn Store>) {
    let before = data_key(1, 1, 1, 0);
    add(&*store, &before).await;
    add(&*store, &data_key(1, 2, 1, 0)).await;
    let wrapped = |version, bytes: &[u8]| DataKeyRecord {
        kek_version: version,
        wrapped: bytes.to_vec(),
        ..before.clone()
    };
    // What is counted meanwhile stays counted.
    assert_eq!(store.count_uses(team(1), before.id, 5).await, Ok(true));
    let (second, third) = (wrapped(2, &[4]), wrapped(3, &[5]));
    assert_eq!(store.rewrap(&[(before.clone(), second.clone())]).await, Ok(1));
    let stored = DataKeyRecord { uses: 5, ..second.clone() };
    assert_eq!(store.find_data_key(team(1), before.id).await, Ok(Some(stored)));
    for stale in [before.clone(), wrapped(2, &[1, 2, 3]), wrapped(1, &[4])] {
        assert_eq!(store.rewrap(&[(stale, third.clone())]).await, Ok(0));
    }
    assert_eq!(store.rewrap(&[(second, third)]).await, Ok(1));
    assert_eq!(store.data_key_counts().await, Ok(BTreeMap::from([(1, 1), (3, 1)])));
}

async fn processes_are_known_until_they_end_or_fall_silent(store: Arc<dyn Store>) {
    let reader = |number, newest, after| Reader {
        id: uuid(number),
        newest,
        seen_at: NOW + Duration::from_secs(after),
    };
    for said in [reader(1, 1, 0), reader(2, 1, 5), reader(1, 2, 10)] {
        store.seen(&said).await.expect("works");
    }
    let known = vec![reader(1, 2, 10), reader(2, 1, 5)];
    assert_eq!(store.readers(NOW).await, Ok(known.clone()));
    let since = NOW + Duration::from_secs(6);
    assert_eq!(store.readers(since).await, Ok(known[..1].to_vec()));
    store.gone(uuid(1)).await.expect("works");
    assert_eq!(store.readers(NOW).await, Ok(known[1..].to_vec()));
}

async fn a_replaced_data_key_seals_no_more_and_is_removed_when_nothing_needs_it(
    store: Arc<dyn Store>,
) {
    let (old, spent, new) =
        (data_key(1, 1, 1, 0), data_key(1, 2, 1, USE_LIMIT - 1), data_key(1, 3, 1, 0));
    let foreign = data_key(2, 4, 1, 0);
    for key in [&old, &spent, &foreign] {
        add(&*store, key).await;
    }
    assert_eq!(store.teams_with_data_keys().await, Ok(vec![team(1), team(2)]));
    let (first, second) = (sealed_under(1, 1), sealed_under(1, 2));
    link(&*store, 1, 10, &first).await.expect("stored");
    link(&*store, 1, 11, &second).await.expect("stored");
    link(&*store, 2, 12, &sealed_under(4, 3)).await.expect("stored");

    let later = NOW + Duration::from_secs(1);
    assert_eq!(store.replace_data_key(&new, later).await, Ok(true));
    assert_eq!(store.current_data_key(team(1)).await, Ok(Some(new.clone())));
    assert_eq!(store.current_data_key(team(2)).await, Ok(Some(foreign.clone())));
    assert_eq!(store.count_uses(team(1), old.id, 1).await, Ok(false));
    assert_eq!(store.retired_data_keys(team(1)).await, Ok(vec![old.clone(), spent.clone()]));
    assert_eq!(store.retired_data_keys(team(2)).await, Ok(vec![]));

    let others = async |limit| {
        let (count, mut first) =
            store.sealed_under_others(team(1), new.id, limit).await.expect("works");
        first.sort_by_key(|row| row.id);
        (count, first)
    };
    assert_eq!(others(9).await, (2, vec![row(10, &first), row(11, &second)]));
    assert_eq!(others(1).await.1.len(), 1);
    assert_eq!(store.remove_retired(team(1)).await, Ok(1), "the spent one");
    assert_eq!(store.remove_retired(team(2)).await, Ok(0));

    let anew = sealed_under(3, 4);
    let pair = |before: &SealedCredential, of| vec![(row(of, before), anew.bytes.clone())];
    assert_eq!(store.reseal(team(1), &pair(&first, 10)).await, Ok(1));
    assert_eq!(store.reseal(team(1), &pair(&first, 10)).await, Ok(0), "is not what it was");
    assert_eq!(store.reseal(team(2), &pair(&second, 11)).await, Ok(0), "another team's");
    let other_version = SealedCredential { version: 2, ..second.clone() };
    assert_eq!(store.reseal(team(1), &pair(&other_version, 11)).await, Ok(0));
    let lost = vec![(row(11, &second), sealed_under(77, 1).bytes)];
    assert_eq!(store.reseal(team(1), &lost).await, Err(Error::Busy), "under no data key");
    assert_eq!(store.remove_retired(team(1)).await, Ok(0), "still needed");
    assert_eq!(others(9).await, (1, vec![row(11, &second)]));

    delete(&*store, 1, 11, 50).await.expect("deleted");
    assert_eq!(others(9).await, (0, vec![]));
    assert_eq!(store.remove_retired(team(1)).await, Ok(1));
    assert_eq!(store.find_data_key(team(1), old.id).await, Ok(None));
    let found = store.find_connection(team(1), super::id(10)).await.expect("works").expect("there");
    assert_eq!(found.1, anew);
}

async fn nothing_is_stored_under_a_data_key_that_was_removed(store: Arc<dyn Store>) {
    add(&*store, &data_key(1, 1, 1, 0)).await;
    let new = data_key(1, 2, 1, 0);
    assert_eq!(store.replace_data_key(&new, NOW).await, Ok(true));
    // Sealed before it was replaced, and stored after.
    let late = sealed_under(1, 1);
    link(&*store, 1, 10, &late).await.expect("stored");
    assert_eq!(store.remove_retired(team(1)).await, Ok(0));
    assert_eq!(store.reseal(team(1), &[(row(10, &late), sealed_under(2, 1).bytes)]).await, Ok(1));
    assert_eq!(store.remove_retired(team(1)).await, Ok(1));
    assert_eq!(link(&*store, 1, 11, &late).await, Err(Error::Busy));
    assert_eq!(store.find_connection(team(1), super::id(11)).await, Ok(None));
}

on_every_backend! {
    migrated:
    the_newest_data_key_that_may_still_seal_is_current
    data_keys_are_counted_and_sampled_by_key_encryption_key
    what_wraps_only_becomes_newer_and_nothing_comes_under_an_older_one
    a_data_key_is_rewrapped_only_from_what_was_read
    processes_are_known_until_they_end_or_fall_silent
    a_replaced_data_key_seals_no_more_and_is_removed_when_nothing_needs_it
    nothing_is_stored_under_a_data_key_that_was_removed
}
