//! Regenerate, rotate, end of overlap, retired token keys.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    convert::timestamp,
    proto::issuance::v1::{
        EndOverlapRequest, GetKeyRequest, Key, LookupRequest, RegenerateKeyRequest,
        RetireTokenKeyRequest, RotateKeyRequest,
    },
};
use keystile_domain::{Clock, ErrorKind, MemberRole, token::TokenKeyRing};
use keystile_issuance::store::{Store, sql::SqlStore};
use keystile_testkit::{Postgres, SeededEntropy};

use crate::world::{Person, World, migrated, receipt, ring, sqlite};

fn regenerate(key: &Key) -> RegenerateKeyRequest {
    RegenerateKeyRequest { key_id: key.id.clone(), ..Default::default() }
}

fn rotate(world: &World, key: &Key, overlap: Duration) -> RotateKeyRequest {
    RotateKeyRequest {
        key_id: key.id.clone(),
        overlap_ends_at: Some(timestamp(world.clock.now() + overlap)),
        ..Default::default()
    }
}

async fn secrets(world: &World, owner: &Person, key: &Key) -> Vec<String> {
    let request = world.by(owner, GetKeyRequest { key_id: key.id.clone() });
    let got = world.keys().get_key(request).await.expect("found").into_inner();
    got.key.expect("a key").secrets.into_iter().map(|secret| secret.id).collect()
}

#[tokio::test]
async fn regenerate_is_a_cut_that_leaves_the_new_secret_alone() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, old) = world.key(&owner).await;
    let request = world.by(&owner, rotate(&world, &key, Duration::from_hours(1)));
    world.keys().rotate_key(request).await.expect("rotated");
    let answer = world.keys().regenerate_key(world.by(&owner, regenerate(&key))).await;
    let answer = answer.expect("regenerated").into_inner();
    receipt(answer.outcome);
    let after = answer.key.expect("a key");
    assert_eq!(after.secrets.len(), 1);
    assert_eq!(after.public_key, key.public_key, "kid and public key stay");
    assert_ne!(answer.token, old);
    assert_eq!(secrets(&world, &owner, &key).await, vec![after.secrets[0].id.clone()]);
}

/// Two at once, each in a process of its own, over and over.
async fn regenerated_twice_at_once(store: SqlStore) {
    let store: Arc<dyn Store> = Arc::new(store);
    let here = World::over(Arc::clone(&store), ring()).await;
    let there = World::over(store, ring()).await;
    let owner = here.team().await;
    for _ in 0..10 {
        let (key, _) = here.key(&owner).await;
        let (mut one, mut two) = (here.keys(), there.keys());
        let (one, two) = tokio::join!(
            one.regenerate_key(here.by(&owner, regenerate(&key))),
            two.regenerate_key(here.by(&owner, regenerate(&key))),
        );
        let answers = [one.expect("one").into_inner(), two.expect("two").into_inner()];
        let left = secrets(&here, &owner, &key).await;
        assert_eq!(left.len(), 1);
        assert!(!left.contains(&key.secrets[0].id), "the first secret is gone");
        let winners = answers
            .iter()
            .filter(|answer| answer.key.as_ref().expect("a key").secrets[0].id == left[0]);
        assert_eq!(winners.count(), 1);
    }
}

#[tokio::test]
async fn of_two_regenerates_at_once_exactly_one_secret_survives() {
    let (_folder, database) = sqlite().await;
    let store = SqlStore::open(database, &SeededEntropy::new(77)).await;
    regenerated_twice_at_once(store.expect("opens")).await;
}

#[tokio::test]
async fn over_postgres_exactly_one_survives_as_well() {
    let server = Postgres::start();
    let database = migrated(server.database()).await;
    let store = SqlStore::open(database, &SeededEntropy::new(77)).await;
    regenerated_twice_at_once(store.expect("opens")).await;
}

#[tokio::test]
async fn a_rotation_keeps_both_secrets_until_its_overlap_ends_and_refuses_another_meanwhile() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let hour = Duration::from_hours(1);
    let request = rotate(&world, &key, hour);
    let end = request.overlap_ends_at;
    let answer = world.keys().rotate_key(world.by(&owner, request)).await.expect("rotated");
    let answer = answer.into_inner();
    assert!(answer.outcome.expect("an outcome").receipt.is_none(), "no cut");
    let after = answer.key.expect("a key").secrets;
    assert_eq!(after.iter().map(|secret| secret.not_after).collect::<Vec<_>>(), [end, None]);

    let refused =
        World::refused(world.keys().rotate_key(world.by(&owner, rotate(&world, &key, hour))).await);
    assert_eq!(refused.reason, "rotation_in_progress");

    world.clock.wall.advance(hour);
    let request = rotate(&world, &key, hour);
    let answer = world.keys().rotate_key(world.by(&owner, request)).await.expect("rotated again");
    let again = answer.into_inner().key.expect("a key").secrets;
    assert_eq!(again.len(), 2, "the secret whose overlap is over was dropped");
    assert_eq!(again[0].id, after[1].id);
}

#[tokio::test]
async fn an_overlap_lies_in_the_future_and_within_90_days() {
    let world = World::memory().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let day = Duration::from_hours(24);
    for overlap in [Duration::ZERO, day * 90 + Duration::from_secs(1)] {
        let request = world.by(&owner, rotate(&world, &key, overlap));
        let refused = World::refused(world.keys().rotate_key(request).await);
        assert_eq!(refused.faults[0].field, "overlap_ends_at");
    }
    let request = world.by(&owner, rotate(&world, &key, day * 90));
    assert!(world.keys().rotate_key(request).await.is_ok());
}

#[tokio::test]
async fn ending_an_overlap_is_a_cut_and_needs_one() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let end = || EndOverlapRequest { key_id: key.id.clone(), ..Default::default() };
    let refused = World::refused(world.keys().end_overlap(world.by(&owner, end())).await);
    assert_eq!((refused.kind, refused.reason.as_str()), (ErrorKind::Conflict, "no_overlap"));
    let request = world.by(&owner, rotate(&world, &key, Duration::from_hours(1)));
    let rotated = world.keys().rotate_key(request).await.expect("rotated").into_inner();
    let ended = world.keys().end_overlap(world.by(&owner, end())).await.expect("ended");
    let ended = ended.into_inner();
    receipt(ended.outcome.clone());
    let left = ended.key.expect("a key").secrets;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, rotated.key.expect("a key").secrets[1].id);

    let first = receipt(ended.outcome);
    let again = world.keys().end_overlap(world.by(&owner, end())).await.expect("waited for");
    assert_eq!(receipt(again.into_inner().outcome).seq, first.seq, "the same cut");
    let request = world.by(&owner, regenerate(&key));
    world.keys().regenerate_key(request).await.expect("regenerated");
    let refused = World::refused(world.keys().end_overlap(world.by(&owner, end())).await);
    assert_eq!(refused.reason, "no_overlap", "another cut has come since");
}

#[tokio::test]
async fn an_overlap_that_a_lease_can_outlast_makes_the_rotation_a_cut() {
    let world = World::memory().await;
    let owner = world.team().await;
    for (overlap, cut) in [(Duration::from_secs(1), true), (Duration::from_hours(1), false)] {
        let (key, _) = world.key(&owner).await;
        let request = world.by(&owner, rotate(&world, &key, overlap));
        let answer = world.keys().rotate_key(request).await.expect("rotated").into_inner();
        assert_eq!(answer.outcome.expect("an outcome").receipt.is_some(), cut, "{overlap:?}");
    }
}

#[tokio::test]
async fn a_retried_regenerate_or_rotate_never_returns_a_token() {
    let world = World::sqlite().await;
    let owner = world.team().await;
    let (key, _) = world.key(&owner).await;
    let mut request = regenerate(&key);
    request.operation_id = world.operation();
    let answer = world.keys().regenerate_key(world.by(&owner, request.clone())).await;
    let before = answer.expect("regenerated").into_inner().key.expect("a key").secrets;
    let refused = World::refused(world.keys().regenerate_key(world.by(&owner, request)).await);
    assert_eq!(refused.reason, "operation_repeated");
    assert_eq!(refused.facts.get("key_id"), Some(&key.id));
    let mut request = rotate(&world, &key, Duration::from_hours(1));
    request.operation_id = world.operation();
    world.keys().rotate_key(world.by(&owner, request.clone())).await.expect("rotated");
    let refused = World::refused(world.keys().rotate_key(world.by(&owner, request)).await);
    assert_eq!(refused.reason, "operation_repeated");
    assert_eq!(secrets(&world, &owner, &key).await[0], before[0].id);
}

#[tokio::test]
async fn retiring_a_token_key_cuts_what_it_minted_in_every_team_and_nothing_else() {
    let old = World::sqlite().await;
    let older = TokenKeyRing::new([(1, [7; 32])]).expect("valid");
    let before = World::over(old.store.clone(), older).await;
    let (ada, bob) = (before.team().await, before.team().await);
    let (first, _) = before.key(&ada).await;
    let (second, _) = before.key(&bob).await;

    let now = World::over(old.store.clone(), ring()).await;
    // Ada rotates onto the newer token key; her old secret still stands.
    let request = now.by(&ada, rotate(&now, &first, Duration::from_hours(1)));
    now.keys().rotate_key(request).await.expect("rotated");
    let (third, _) = now.key(&bob).await;
    // Bob has one with two secrets under the older token key.
    let (fourth, _) = before.key(&bob).await;
    let request = before.by(&bob, rotate(&before, &fourth, Duration::from_hours(1)));
    before.keys().rotate_key(request).await.expect("rotated");

    let retire = |version| RetireTokenKeyRequest { version };
    let owner = now.member(ada.0.team.expect("a team"), MemberRole::Owner);
    let refused = World::refused(now.teams().retire_token_key(now.by(&owner, retire(1))).await);
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    let operator = World::operator();
    let refused = World::refused(now.teams().retire_token_key(now.by(&operator, retire(2))).await);
    assert_eq!(refused.reason, "newest_token_key");
    let refused =
        World::refused(now.teams().retire_token_key(now.by(&operator, retire(256))).await);
    assert_eq!(refused.kind, ErrorKind::Invalid);

    let retired = now.teams().retire_token_key(now.by(&operator, retire(1))).await;
    let retired = retired.expect("retired").into_inner();
    assert_eq!(retired.secrets, 1 + 1 + 2);
    receipt(retired.outcome);
    assert_eq!(secrets(&now, &ada, &first).await.len(), 1);
    assert_eq!(secrets(&now, &bob, &second).await.len(), 0);
    assert_eq!(secrets(&now, &bob, &third).await.len(), 1);
    let request =
        LookupRequest { kid: second.public_key.rsplit('_').next().expect("a kid").into() };
    let facts = now.facts().lookup(request).await.expect("found").into_inner().facts;
    assert!(facts.expect("facts").secrets.is_empty());
    let cuts = old.store.log_after(0, 100).await.expect("read").1;
    let cuts: Vec<_> =
        cuts.iter().filter(|row| row.kind.as_str() == "key.token_key_retired").collect();
    assert_eq!(cuts.len(), 3, "one row a key");
    assert!(cuts.iter().all(|row| row.cut));

    let again = now.teams().retire_token_key(now.by(&operator, retire(1))).await;
    assert_eq!(again.expect("retired").into_inner().secrets, 0);
}
