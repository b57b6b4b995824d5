//! Registering, renewing, watching and retiring followers.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    Identity, Transport,
    convert::position,
    proto::{
        common::v1::{LogRow, Position},
        issuance::v1::{
            RegisterRequest, RegisterResponse, RenewRequest, RevokeKeyRequest, WatchRequest,
            log_service_client::LogServiceClient,
        },
    },
};
use keystile_domain::{
    Clock, ErrorKind, Incarnation, Role,
    log::{History, Nonce},
};
use keystile_issuance::{
    Config,
    lease::Terms,
    store::{FollowerRecord, memory::MemoryStore},
};
use tokio_util::sync::CancellationToken;

use crate::world::{HISTORY, MOMENT, World, receipt, ring};

/// One follower, as far as issuance sees it.
pub(crate) struct Follower {
    pub(crate) incarnation: String,
    pub(crate) begun: RegisterResponse,
    pub(crate) log: LogServiceClient<Transport>,
}

impl Follower {
    pub(crate) async fn register(world: &World) -> Self {
        let incarnation = Incarnation::generate(world.clock.now(), world.entropy()).to_string();
        let request = RegisterRequest {
            incarnation: incarnation.clone(),
            role: "verification".into(),
            ..RegisterRequest::default()
        };
        let begun = world.log().register(request).await.expect("registered").into_inner();
        Self { incarnation, begun, log: world.log() }
    }

    /// Renews from what `applied` and `nonce` say was applied last.
    pub(crate) async fn renew(
        &mut self,
        applied: Position,
        nonce: Vec<u8>,
    ) -> Result<keystile_contract::proto::issuance::v1::RenewResponse, keystile_contract::Failure>
    {
        let request = RenewRequest {
            incarnation: self.incarnation.clone(),
            applied: Some(applied),
            applied_nonce: nonce,
        };
        let answer = self.log.renew(request).await;
        answer.map(tonic::Response::into_inner).map_err(Into::into)
    }

    /// What opens its stream.
    pub(crate) fn opening(&self) -> WatchRequest {
        WatchRequest {
            incarnation: self.incarnation.clone(),
            applied: self.begun.head.clone(),
            applied_nonce: self.begun.head_nonce.clone(),
        }
    }

    /// What acknowledges everything up to the last of these rows.
    pub(crate) fn acknowledgement(&self, rows: &[LogRow]) -> WatchRequest {
        let last = rows.last().expect("at least one");
        let mut message = self.opening();
        message.applied.as_mut().expect("a head").seq = last.seq;
        message.applied_nonce.clone_from(&last.nonce);
        message
    }

    /// Renews twice, as a follower that applies everything: the second renewal acknowledges.
    pub(crate) async fn catch_up(&mut self) {
        let head = self.begun.head.clone().expect("a head");
        let first = self.renew(head, self.begun.head_nonce.clone()).await.expect("renewed");
        self.begun.head.clone_from(&first.head);
        self.begun.head_nonce.clone_from(&first.head_nonce);
        self.renew(first.head.expect("a head"), first.head_nonce).await.expect("renewed");
    }
}

#[tokio::test]
async fn a_follower_begins_with_the_log_of_the_last_hour_and_follows_it() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        world.clock.wall.advance(Duration::from_mins(61));
        let (key, _) = world.key(&owner).await;
        let mut follower = Follower::register(&world).await;
        let begun = follower.begun.clone();
        assert_eq!((begun.floor, begun.resumed), (1, true));
        assert_eq!(begun.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2]);
        assert_eq!(begun.rows[0].nonce, begun.head_nonce);
        let terms = begun.terms.expect("terms");
        assert_eq!(terms.lease_ttl.expect("a time").seconds, 2);

        let (second, _) = world.key(&owner).await;
        let head = begun.head.expect("a head");
        let renewed =
            follower.renew(head.clone(), begun.head_nonce.clone()).await.expect("renewed");
        assert_eq!(renewed.rows.len(), 1);
        assert_eq!(renewed.rows[0].previous_nonce, begun.head_nonce);
        assert_eq!(renewed.rows[0].scope.clone().expect("a scope").id, second.id);
        assert_eq!(renewed.head.clone().expect("a head").seq, 3);
        let next = follower.renew(renewed.head.expect("a head"), renewed.head_nonce).await;
        assert!(next.expect("renewed").rows.is_empty());
        assert_ne!(key.id, second.id);
    }
}

#[tokio::test]
async fn a_follower_of_another_log_is_told_so() {
    for world in [World::sqlite().await, World::memory().await] {
        world.team().await;
        let mut follower = Follower::register(&world).await;
        let head = follower.begun.head.clone().expect("a head");
        let nonce = follower.begun.head_nonce.clone();
        let foreign = History { database: [3; 16], timeline: 0 }.to_string();
        for (applied, nonce) in [
            (head.clone(), vec![0; 16]),
            (Position { history: foreign, ..head.clone() }, nonce.clone()),
            (Position { seq: 9, ..head.clone() }, nonce.clone()),
            (Position { seq: 0, ..head.clone() }, nonce.clone()),
        ] {
            let opening = WatchRequest {
                applied: Some(applied.clone()),
                applied_nonce: nonce.clone(),
                ..follower.opening()
            };
            let refused = follower.renew(applied, nonce).await.expect_err("another log");
            assert_eq!(
                (refused.kind, refused.reason.as_str()),
                (ErrorKind::Stale, "history_mismatch")
            );
            let refused = World::refused(follower.log.watch(tokio_stream::once(opening)).await);
            assert_eq!(refused.reason, "history_mismatch", "nor may it watch");
        }
        follower.renew(head.clone(), nonce.clone()).await.expect("this log");
        follower.incarnation =
            Incarnation::generate(world.clock.now(), world.entropy()).to_string();
        let refused = follower.renew(head, nonce).await.expect_err("never registered");
        assert_eq!(
            (refused.kind, refused.reason.as_str()),
            (ErrorKind::Stale, "unknown_incarnation")
        );
    }
}

#[tokio::test]
async fn a_follower_registers_once_and_resumes_where_the_log_reaches_back() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        world.key(&owner).await;
        world.clock.wall.advance(Duration::from_mins(61));
        let follower = Follower::register(&world).await;
        let request = |point: Option<Position>| RegisterRequest {
            incarnation: Incarnation::generate(world.clock.now(), world.entropy()).to_string(),
            role: "verification".into(),
            resume_nonce: if point.is_some() { vec![0; 16] } else { vec![] },
            resume_from: point,
        };
        let again = RegisterRequest { incarnation: follower.incarnation, ..request(None) };
        let refused = World::refused(world.log().register(again).await);
        assert_eq!(refused.reason, "incarnation_exists");

        let head = follower.begun.head.expect("a head");
        let stored = Position { seq: 1, ..head.clone() };
        let other = request(Some(stored.clone()));
        let other = world.log().register(other).await.expect("registered").into_inner();
        assert!(!other.resumed, "another row of that number");
        assert_eq!(other.rows.len() as u64, head.seq - other.floor, "from the floor");
        let (_, rows) = world.store.log_after(0, 1).await.expect("read");
        let this =
            RegisterRequest { resume_nonce: rows[0].nonce.0.to_vec(), ..request(Some(stored)) };
        let resumed = world.log().register(this).await.expect("registered").into_inner();
        assert!(resumed.resumed);
        assert_eq!(resumed.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2]);
        let ahead = Position { seq: 7, ..head };
        let lost = world.log().register(request(Some(ahead))).await.expect("registered");
        assert!(!lost.into_inner().resumed);
        let refused = World::refused(
            world.log().register(RegisterRequest { role: "cook".into(), ..request(None) }).await,
        );
        assert_eq!(refused.faults[0].field, "role");
        let refused = World::refused(
            world.log().register(RegisterRequest { role: "vault".into(), ..request(None) }).await,
        );
        assert_eq!(refused.reason, "role_mismatch", "a role registers for itself only");
    }
}

#[tokio::test]
async fn nobody_but_its_role_speaks_for_a_follower() {
    for world in [World::sqlite().await, World::memory().await] {
        let mut follower = Follower::register(&world).await;
        let begun = follower.begun.clone();
        for role in [Role::Vault, Role::Triggers, Role::Console] {
            let mut log = world.log_as(Identity::Role(role));
            let renew = RenewRequest {
                incarnation: follower.incarnation.clone(),
                applied: begun.head.clone(),
                applied_nonce: begun.head_nonce.clone(),
            };
            assert_eq!(World::refused(log.renew(renew).await).reason, "role_mismatch");
            let refused = log.watch(tokio_stream::once(follower.opening())).await;
            assert_eq!(World::refused(refused).reason, "role_mismatch");
        }
        follower.catch_up().await;
    }
}

#[tokio::test]
async fn rows_are_pushed_to_a_watcher_as_they_are_committed() {
    for world in [World::sqlite().await, World::memory().await] {
        let owner = world.team().await;
        let mut follower = Follower::register(&world).await;
        let opening = follower.opening();
        let unknown = WatchRequest {
            incarnation: Incarnation::generate(world.clock.now(), world.entropy()).to_string(),
            ..opening.clone()
        };
        let refused = follower.log.watch(tokio_stream::once(unknown)).await;
        assert_eq!(World::refused(refused).reason, "unknown_incarnation");
        let requests =
            tokio_stream::StreamExt::chain(tokio_stream::once(opening), tokio_stream::pending());
        let mut rows = follower.log.watch(requests).await.expect("watching").into_inner();
        for seq in 2..=4 {
            world.key(&owner).await;
            let pushed = rows.message().await.expect("open").expect("rows");
            assert_eq!(pushed.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [seq]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_once_when_the_log_goes_on_in_another_history() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let world = World::over(Arc::new(memory.clone()), ring()).await;
    let owner = world.team().await;
    let copy = memory.copy().await;
    world.key(&owner).await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(world.service.clone().run(stop.clone()));
    let mut follower = Follower::register(&world).await;
    let opening = tokio_stream::StreamExt::chain(
        tokio_stream::once(follower.opening()),
        tokio_stream::pending(),
    );
    let mut rows = follower.log.watch(opening).await.expect("watching").into_inner();
    // Behind what was pushed: it is not the growth of the log that tells.
    memory.put_back(&copy).await;
    memory.fork(History { database: [3; 16], timeline: 0 }).await;
    let ended = tokio::time::timeout(Duration::from_secs(1), rows.message()).await;
    let refused = keystile_contract::Failure::from(ended.expect("in a second").expect_err("ended"));
    assert_eq!(refused.reason, "history_mismatch");
    stop.cancel();
    run.await.expect("stops");
}

#[tokio::test(start_paused = true)]
async fn a_silent_follower_is_counted_until_its_lease_is_surely_over_and_then_forgotten() {
    let world = World::memory().await;
    let owner = world.team().await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(world.service.clone().run(stop.clone()));
    let mut silent = Follower::register(&world).await;
    let (head, nonce) =
        (silent.begun.head.clone().expect("a head"), silent.begun.head_nonce.clone());
    world.clock.wall.advance(Duration::from_secs(11));
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    let refused = silent.renew(head, nonce).await.expect_err("retiring");
    assert_eq!(refused.reason, "unknown_incarnation");

    let (key, _) = world.key(&owner).await;
    let revoke = |key_id: String| RevokeKeyRequest { key_id, ..Default::default() };
    let answer = world.keys().revoke_key(world.by(&owner, revoke(key.id))).await.expect("revoked");
    assert_eq!(receipt(answer.into_inner().outcome).waited_out, 1, "still counted");

    tokio::time::sleep(Duration::from_secs(6)).await;
    let (key, _) = world.key(&owner).await;
    let answer = world.keys().revoke_key(world.by(&owner, revoke(key.id))).await.expect("revoked");
    let receipt = receipt(answer.into_inner().outcome);
    assert_eq!((receipt.acknowledged, receipt.waited_out), (0, 0), "forgotten");
    stop.cancel();
    run.await.expect("stops");
}

#[tokio::test(start_paused = true)]
async fn a_retiring_follower_is_counted_for_twice_the_lease_that_it_was_given() {
    let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
    let given = |lease_ttl_ms| {
        let config = Config { lease_ttl_ms, ..Config::default() };
        World::with(Arc::new(memory.clone()), ring(), config)
    };
    let long = given(4_000).await;
    Follower::register(&long).await;
    let world = given(1_000).await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(world.service.clone().run(stop.clone()));
    world.clock.wall.advance(Duration::from_secs(11));
    // On the paused clock: a follower that is never marked or removed ends the test.
    let until = async |done: fn(&[FollowerRecord]) -> bool| {
        let wait = async {
            while !done(&world.store.followers().await.expect("read")) {
                tokio::time::sleep(MOMENT).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait).await.expect("in a minute");
        world.clock.tick()
    };
    let marked = until(|left| left.iter().all(|follower| follower.retiring)).await;
    let removed = until(<[_]>::is_empty).await;
    let counted = removed.since(marked);
    assert!(
        counted + MOMENT >= Terms::default().wait_for(Duration::from_secs(4)) * 2,
        "{counted:?}"
    );
    stop.cancel();
    run.await.expect("stops");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_renews_is_never_retired() {
    let world = World::memory().await;
    world.team().await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(world.service.clone().run(stop.clone()));
    let mut follower = Follower::register(&world).await;
    for _ in 0..40 {
        world.clock.wall.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        follower.catch_up().await;
    }
    stop.cancel();
    run.await.expect("stops");
}

#[tokio::test]
async fn an_embedded_start_forgets_the_followers_of_earlier_runs() {
    let world = World::sqlite().await;
    world.team().await;
    let config = Config { embedded: true, ..Config::default() };
    let embedded = || World::with(world.store.clone(), ring(), config.clone());
    Follower::register(&embedded().await).await;
    assert_eq!(world.store.followers().await.expect("read").len(), 1);
    embedded().await;
    assert!(world.store.followers().await.expect("read").is_empty());
}

#[tokio::test]
async fn an_embedded_start_waits_for_a_follower_that_ran_elsewhere() {
    let world = World::sqlite().await;
    world.team().await;
    Follower::register(&world).await;
    let config = Config { embedded: true, ..Config::default() };
    World::with(world.store.clone(), ring(), config).await;
    assert_eq!(world.store.followers().await.expect("read").len(), 1);
}

#[tokio::test]
async fn positions_carry_the_history_of_the_database() {
    let world = World::memory().await;
    let follower = Follower::register(&world).await;
    let head = keystile_domain::Position { history: HISTORY, seq: 0 };
    assert_eq!(follower.begun.head, Some(position(&head)));
}
