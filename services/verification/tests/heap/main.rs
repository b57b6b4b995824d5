//! What verification takes of memory: of the heap, by an allocator that counts, and in all.
//!
//! It counts the whole process, so one test at a time does anything, and on one thread.

#[path = "../verify/issuance.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod issuance;

use std::{fs, sync::Arc};

use dhat::{HeapStats, Profiler};
use futures::FutureExt as _;
use issuance::Issuance;
use keystile_cache::memory::Memory;
use keystile_contract::SealKeys;
use keystile_domain::{
    ComponentId, Environment, Grant, Refusal, Role,
    facts::{GrantFacts, KeyStatus, Request},
    token::{Kid, TokenKeyRing},
};
use keystile_testkit::{MockClock, SeededEntropy};
use keystile_verification::{Answer, Config, Counts, Deps, Question, Service};
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Counts while it lives.
fn counting() -> Profiler {
    Profiler::builder().testing().trim_backtraces(Some(1)).build()
}

struct Rig {
    issuance: Issuance,
    service: Service,
    _stop: DropGuard,
}

impl Rig {
    /// With a lease, on nothing that would hold the same entries a second time.
    async fn new(config: Config, make: impl FnOnce(&Issuance)) -> Self {
        let ring = TokenKeyRing::new([(1, [7; 32])]).expect("a ring");
        let clock = MockClock::default();
        let issuance = Issuance::new(ring.clone(), clock.clone(), Arc::new(SeededEntropy::new(1)));
        make(&issuance);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            entropy: Arc::clone(&issuance.entropy),
            seal_keys: SealKeys::derive(Role::Verification, &[(1, [1; 32])]),
            token_keys: ring,
            issuance: issuance.transport(),
            l2: Arc::new(Memory::new(1, Arc::new(clock))),
        };
        let service = keystile_verification::build(config, deps).expect("built");
        let running = service.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { running.run(stopped).await });
        service.wait_ready().await;
        Self { issuance, service, _stop: stop.drop_guard() }
    }

    async fn verify(&self, token: &str, component: Option<&ComponentId>) -> Answer {
        let request = Request { component, ..Request::default() };
        let question = Question { token, request, at_least: None };
        self.service.verifier().verify(&question).await.expect("a verdict")
    }

    /// An answer that waits for nothing.
    fn at_once(&self, token: &str, component: Option<&ComponentId>) -> Answer {
        self.verify(token, component).now_or_never().expect("warm")
    }
}

fn grants(count: usize) -> Box<[GrantFacts]> {
    let grant = |app: usize| {
        let names = ["send-email", "read-email", "list-emails"];
        let components = names.map(|name| format!("action.app-{app:02}.{name}"));
        let components = components.map(|id| id.parse::<ComponentId>().expect("a component id"));
        let app = components[0].app_key();
        let grant = Grant::new(app, None, None, components.into_iter().collect()).expect("valid");
        GrantFacts { grant, usable: true }
    };
    (0..count).map(grant).collect()
}

/// Asks ten thousand times and wants no allocation. The harness's own threads make one now and then,
/// but not in each of three rounds.
fn takes_nothing(what: &str, ask: impl Fn()) {
    let _counting = counting();
    let round = || {
        let before = HeapStats::get();
        for _ in 0..10_000 {
            ask();
        }
        let after = HeapStats::get();
        (after.total_blocks - before.total_blocks, after.total_bytes - before.total_bytes)
    };
    let taken = [round(), round(), round()];
    assert!(taken.contains(&(0, 0)), "{what}: blocks and bytes of each round: {taken:?}");
}

#[tokio::test]
async fn a_warm_answer_takes_nothing_of_the_heap() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut tokens = Vec::new();
    let rig = Rig::new(Config::default(), |issuance| {
        let mut create = |status| {
            tokens
                .push(issuance.create(|facts| (facts.status, facts.grants) = (status, grants(3))));
        };
        create(KeyStatus::Active);
        create(KeyStatus::Revoked);
    })
    .await;
    let [(kid, allowed), (_, revoked)] = &*tokens else { panic!("two") };
    let (of_no_secret, _) = rig.issuance.mint(kid);
    let (of_no_key, _) = rig.issuance.mint(&Kid::generate(&*rig.issuance.entropy));
    let component = "action.app-02.read-email".parse().expect("a component id");
    for token in [allowed, revoked, &of_no_secret, &of_no_key] {
        rig.verify(token, Some(&component)).await;
    }

    takes_nothing("allowed", || {
        let Answer::Allowed(allowed) = rig.at_once(allowed, Some(&component)) else {
            panic!("refused")
        };
        assert!(allowed.grant().is_some());
    });
    for (token, reason) in [
        (revoked, Refusal::Revoked),
        (&of_no_secret, Refusal::Invalid),
        (&of_no_key, Refusal::Invalid),
        (&format!("{allowed}0"), Refusal::Invalid),
    ] {
        takes_nothing(reason.code(), || match rig.at_once(token, Some(&component)) {
            Answer::Refused(refused) => assert_eq!(refused.reason, reason),
            Answer::Allowed(_) => panic!("allowed"),
        });
    }
    assert_eq!(rig.service.verifier().stats().counts().lookups, 4);
}

/// Fills L1 beyond its edge with keys of so many grants; what it takes then, in parts of what it
/// may.
async fn fullness(grants_each: usize, keys: usize) -> f64 {
    const L1_BYTES: u32 = 5 << 18;
    let mut tokens = Vec::new();
    let config = Config { l1_bytes: L1_BYTES.into(), ..Config::default() };
    let rig = Rig::new(config, |issuance| {
        tokens.extend((0..keys).map(|at| {
            let (_, token) = issuance.create(|facts| {
                facts.name = format!("a key of some team, number {at}").into();
                facts.grants = grants(grants_each);
            });
            token
        }));
    })
    .await;
    // What is made once and for all.
    rig.verify(&tokens[0], None).await;
    let _counting = counting();
    for token in &tokens {
        rig.verify(token, None).await;
    }
    // Those that came when it was full were put out again.
    for token in &tokens[keys / 2..keys * 3 / 4] {
        rig.verify(token, None).await;
    }
    let looked_up = rig.service.verifier().stats().counts().lookups;
    let edge = u64::try_from(keys).expect("few");
    assert!(looked_up > edge, "{keys} keys of {grants_each} grants have room");
    let taken = u32::try_from(HeapStats::get().curr_bytes).expect("not much");
    f64::from(taken) / f64::from(L1_BYTES)
}

#[tokio::test]
async fn l1_takes_no_more_memory_than_it_may_and_uses_most_of_it() {
    let _turn = ONE_AT_A_TIME.lock().await;
    for (grants_each, keys) in [(0, 5_000), (3, 1_500), (50, 200)] {
        let full = fullness(grants_each, keys).await;
        println!("{grants_each} grants a key: {full:.2} of l1_bytes");
        assert!((0.4..1.05).contains(&full), "{grants_each} grants a key: {full:.2} of l1_bytes");
    }
}

/// KiB of this process that are in memory, with all that the allocator holds on to.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().strip_suffix(" kB").and_then(|kib| kib.parse().ok()).expect("KiB")
}

/// Asks about so many genuine tokens of no key, each once.
async fn flood(rig: &Rig, tokens: usize) {
    for _ in 0..tokens {
        let (ring, entropy) = (&rig.issuance.ring, &*rig.issuance.entropy);
        let minted = ring.mint(Environment::Prod, &Kid::generate(entropy), entropy);
        let Answer::Refused(refused) = rig.verify(minted.text.expose_secret(), None).await else {
            panic!("allowed")
        };
        assert_eq!(refused.reason, Refusal::Invalid);
    }
}

/// Asks about `tokens` tokens of no key where `kept` are remembered; none may cost memory beyond, or
/// push out a key that works.
async fn memory_stays_flat(kept: usize, tokens: usize) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let config = Config { negative_entries: kept, ..Config::default() };
    let mut live = String::new();
    let rig = Rig::new(config, |issuance| live = issuance.create(|_| {}).1).await;
    rig.verify(&live, None).await;
    let empty = resident();
    // Twice as many, so that it has begun to forget.
    flood(&rig, 2 * kept).await;
    let full = resident();
    flood(&rig, tokens - 2 * kept).await;
    let after = resident();
    println!("{empty} KiB with nothing, {full} with {kept} tokens kept, {after} after {tokens}");
    assert!(after <= full + 4096, "{full} KiB became {after} KiB");
    let counts = rig.service.verifier().stats().counts();
    let asked = 1 + u64::try_from(tokens).expect("fits");
    assert_eq!(counts, Counts { cache_misses: asked, lookups: asked, hashes: 1 });
    assert!(matches!(rig.at_once(&live, None), Answer::Allowed(_)));
}

#[tokio::test]
async fn a_hundred_thousand_tokens_of_no_key_take_no_more_memory_than_ten_thousand() {
    memory_stays_flat(10_000, 100_000).await;
}

/// The full size of threat 6, for `tests/deep`.
#[tokio::test]
#[ignore = "minutes; tests/deep runs it"]
async fn deep_ten_million_tokens_of_no_key_take_no_more_memory_than_a_hundred_thousand() {
    memory_stays_flat(100_000, 10_000_000).await;
}
