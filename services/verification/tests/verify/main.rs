//! Verification against a double of issuance, over the transport that one process uses.
//!
//! tokio's time is paused (but where a real Redis answers) and jumps from timer to timer; leases and expiry count on a clock that
//! only the tests move.

mod flood;
mod forged;
mod freshness;
mod issuance;
mod l2;
mod model;
mod redis;
mod rpc;
mod secrets;

use std::{sync::Arc, time::Duration};

use issuance::Issuance;
use keystile_cache::{L2, memory::Memory};
use keystile_contract::SealKeys;
use keystile_domain::{
    Environment, Grant, Position, Role,
    facts::{GrantFacts, Request},
    token::TokenKeyRing,
};
use keystile_testkit::{MockClock, SeededEntropy, log::LEASE};
use keystile_verification::{Answer, Config, Counts, Deps, Error, Question, Service};
use tokio_util::sync::{CancellationToken, DropGuard};

const SEALING_KEYS: [(u32, [u8; 32]); 1] = [(1, [1; 32])];

struct Rig {
    clock: MockClock,
    issuance: Issuance,
    l2: Arc<Memory>,
    service: Service,
    _stop: DropGuard,
}

impl Rig {
    /// With a lease.
    async fn new() -> Self {
        Self::without_lease(Config::default()).running().await
    }

    /// Another node of the same installation, with a lease.
    async fn another(&self) -> Self {
        let (clock, issuance, l2) =
            (self.clock.clone(), self.issuance.clone(), Arc::clone(&self.l2));
        Self::node(Config::default(), clock, issuance, l2).running().await
    }

    async fn running(self) -> Self {
        let rig = self;
        let running = rig.service.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { running.run(stopped).await });
        rig.service.wait_ready().await;
        Self { _stop: stop.drop_guard(), ..rig }
    }

    /// Not yet following.
    fn without_lease(config: Config) -> Self {
        let clock = MockClock::default();
        let ring = TokenKeyRing::new([(1, [7; 32])]).expect("a ring");
        let issuance = Issuance::new(ring, clock.clone(), Arc::new(SeededEntropy::new(1)));
        let l2 = Arc::new(Memory::new(1 << 20, Arc::new(clock.clone())));
        Self::node(config, clock, issuance, l2)
    }

    fn node(config: Config, clock: MockClock, issuance: Issuance, l2: Arc<Memory>) -> Self {
        let behind = Arc::clone(&l2) as _;
        Self::on(config, clock, issuance, l2, behind)
    }

    /// Another node of the same installation, not yet following, on that L2.
    fn behind(&self, l2: Arc<dyn L2>) -> Self {
        let (clock, issuance) = (self.clock.clone(), self.issuance.clone());
        Self::on(Config::default(), clock, issuance, Arc::clone(&self.l2), l2)
    }

    fn on(
        config: Config,
        clock: MockClock,
        issuance: Issuance,
        memory: Arc<Memory>,
        l2: Arc<dyn L2>,
    ) -> Self {
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            // Each node is an incarnation of its own.
            entropy: Arc::clone(&issuance.entropy),
            seal_keys: SealKeys::derive(Role::Verification, &SEALING_KEYS),
            token_keys: issuance.ring.clone(),
            issuance: issuance.transport(),
            l2,
        };
        let service = keystile_verification::build(config, deps).expect("built");
        Self { clock, issuance, l2: memory, service, _stop: CancellationToken::new().drop_guard() }
    }

    async fn verify(&self, token: &str) -> Result<Answer, Error> {
        self.ask(token, Request::default(), None).await
    }

    async fn ask(
        &self,
        token: &str,
        request: Request<'_>,
        at_least: Option<Position>,
    ) -> Result<Answer, Error> {
        self.service.verifier().verify(&Question { token, request, at_least }).await
    }

    /// "allowed", or why not.
    async fn verdict(&self, token: &str) -> Result<&'static str, Error> {
        self.verify(token).await.map(|answer| word(&answer))
    }

    fn counts(&self) -> Counts {
        self.service.verifier().stats().counts()
    }

    fn lookups(&self) -> u64 {
        self.counts().lookups
    }

    /// Waits for a lease after the clock moved.
    async fn renewed(&self) {
        until("renewed", || self.service.ready().is_ok()).await;
    }

    /// Loses every renewal from now on, and with them the lease.
    async fn lose_lease(&self) {
        self.issuance.deafen();
        self.clock.advance(LEASE);
        // A renewal on its way counts from before.
        tokio::time::sleep(LEASE).await;
        assert!(self.service.ready().is_err());
    }
}

fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Allowed(_) => "allowed",
        Answer::Refused(refused) => refused.reason.code(),
    }
}

/// A usable grant without an account.
fn grant(components: &[&str]) -> GrantFacts {
    let components: Vec<_> =
        components.iter().map(|id| id.parse().expect("a component id")).collect();
    let app = keystile_domain::ComponentId::app_key(&components[0]);
    let grant = Grant::new(app, None, None, components.into_iter().collect()).expect("valid");
    GrantFacts { grant, usable: true }
}

/// Waits, on the paused time, until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), waiting).await.is_ok(), "never: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_known_is_answered_without_asking_anybody() {
    let rig = Rig::new().await;
    let (kid, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    for _ in 0..10 {
        let Ok(Answer::Allowed(allowed)) = rig.verify(&token).await else { panic!("refused") };
        assert_eq!((allowed.facts().kid, allowed.facts().environment), (kid, Environment::Prod));
        assert_eq!(allowed.as_of().seq, 1);
    }
    assert_eq!(rig.counts(), Counts { cache_misses: 1, lookups: 1, hashes: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_hundred_cold_questions_at_once_are_one_look_up_and_one_hash() {
    let rig = Arc::new(Rig::new().await);
    let (_, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    rig.issuance.set_open(false);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (rig, token) = (Arc::clone(&rig), token.clone());
            tokio::spawn(async move { rig.verdict(&token).await })
        })
        .collect();
    until("all ask", || rig.counts().cache_misses == 100).await;
    rig.issuance.set_open(true);
    for asked in asking {
        assert_eq!(asked.await.expect("no panic"), Ok("allowed"));
    }
    assert_eq!(rig.counts(), Counts { cache_misses: 100, lookups: 1, hashes: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_look_up_outlives_whoever_started_it() {
    let rig = Arc::new(Rig::new().await);
    let (_, token) = rig.issuance.create(|_| {});
    rig.issuance.barrier().await;
    rig.issuance.set_open(false);
    let (leaving, text) = (Arc::clone(&rig), token.clone());
    let first = tokio::spawn(async move { leaving.verdict(&text).await });
    until("asked", || rig.lookups() == 1).await;
    first.abort();
    assert!(first.await.is_err());
    rig.issuance.set_open(true);
    assert_eq!(rig.verdict(&token).await, Ok("allowed"));
    assert_eq!(rig.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_look_up_more_than_are_admitted_is_no_verdict() {
    let config = Config { max_lookups: 1, ..Config::default() };
    let rig = Arc::new(Rig::without_lease(config));
    let (_, first) = rig.issuance.create(|_| {});
    let (_, second) = rig.issuance.create(|_| {});
    rig.issuance.set_open(false);
    let asking = Arc::clone(&rig);
    let asked = tokio::spawn(async move { asking.verdict(&first).await });
    until("asked", || rig.lookups() == 1).await;
    assert_eq!(rig.verdict(&second).await, Err(Error::Overloaded));
    rig.issuance.set_open(true);
    assert_eq!(asked.await.expect("no panic"), Ok("allowed"));
    assert_eq!(rig.verdict(&second).await, Ok("allowed"));
}
