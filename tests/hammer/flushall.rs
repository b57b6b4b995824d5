//! Redis is emptied at full load (threat 5).
//!
//! A verifier whose L1 holds its keys does not ask Redis and does not notice. So L1 is made too
//! small to matter, and warm answers come from L2: the worst case. From one counter all workers of
//! all verifiers take the next key of a shuffled list, so that each key is asked for once a pass, at
//! whichever verifier, and nothing that was asked for comes soon again; every fourth question is for
//! one of a hundredth of the keys, so that several verifiers miss the same one at once.
//!
//! What is counted are the look-ups of all verifiers together, from FLUSHALL until each key was
//! asked for again and half of them once more, by the number of keys. Single flight is each verifier's own: a key that k
//! verifiers miss at the same moment costs k look-ups, and only that is above one. Redis gets more
//! time than by default: this is not about a busy test machine.
//!
//! Warm latency is back with the first two windows in a row whose median is at most one and a half
//! times that before. No sooner than half of the questions are for keys that were looked up again,
//! and with a list that nobody reads twice, that is a pass: the time is that of as many questions
//! as there are keys.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use keystile_domain::{Clock as _, Entropy, Role, Tick, entropy};
use keystile_runtime::SystemClock;
use keystile_testkit::SeededEntropy;
use keystile_tests::Deployment;

use crate::{
    cutter::given,
    ledger::Question,
    revocation::asked,
    team::{Console, Team},
    verifiers::Verifiers,
};

/// Keys are created by so many at once.
const CREATORS: usize = 32;
/// One in so many keys is hot, and one in so many questions is for a hot key.
const HOT_KEYS: usize = 100;
const HOT_QUESTIONS: usize = 4;
/// Not a hundredth of what a key takes.
const L1_BYTES_A_KEY: usize = 5;
/// The default, which nothing here changes.
const LEASE: Duration = Duration::from_secs(2);

struct Extent {
    verifiers: usize,
    keys: usize,
    /// Questions at once at each verifier.
    workers: usize,
    /// The windows whose medians are compared.
    window: Duration,
}

/// Questions without end, by whoever comes next.
struct Load {
    verifiers: Arc<Verifiers>,
    /// In the order in which they are asked for.
    keys: Vec<Arc<Question>>,
    next: AtomicUsize,
    over: AtomicBool,
}

fn random(from: &SeededEntropy) -> usize {
    u32::from_le_bytes(entropy::bytes(from as &dyn Entropy)) as usize
}

impl Load {
    /// One worker: when each of its questions was asked, and how long the answer took.
    async fn work(self: Arc<Self>, verifier: usize, seed: u64) -> Vec<(Tick, Duration)> {
        let (entropy, mut took) = (SeededEntropy::new(seed), Vec::new());
        while !self.over.load(Relaxed) {
            let chance = random(&entropy);
            let at = if chance.is_multiple_of(HOT_QUESTIONS) {
                chance / HOT_QUESTIONS % (self.keys.len() / HOT_KEYS).max(1)
            } else {
                self.next.fetch_add(1, Relaxed) % self.keys.len()
            };
            let began = SystemClock.tick();
            self.verifiers.ask(verifier, &self.keys[at]).await;
            took.push((began, SystemClock.tick().since(began)));
        }
        took
    }

    /// Waits until so many questions of the list were asked.
    async fn reaches(&self, asked: usize) {
        while self.next.load(Relaxed) < asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A team's keys, created over gRPC, in no order.
async fn create(console: &Console, count: usize) -> Vec<Arc<Question>> {
    let (team, left) =
        (Arc::new(Team::create(console.clone()).await), Arc::new(AtomicUsize::new(0)));
    let creators = (0..CREATORS).map(|_| {
        let (team, left) = (Arc::clone(&team), Arc::clone(&left));
        tokio::spawn(async move {
            let mut made = Vec::new();
            while left.fetch_add(1, Relaxed) < count {
                let (id, token) = team.key().await.value.expect("nothing is lost");
                let question = Arc::new(Question::new(id, token));
                question.turn(given(None));
                made.push(question);
            }
            made
        })
    });
    let made = join_all(creators).await.into_iter().flat_map(|made| made.expect("joins"));
    let (entropy, mut keys) = (SeededEntropy::new(1), made.collect::<Vec<_>>());
    // Fisher and Yates.
    for last in (1..keys.len()).rev() {
        keys.swap(last, random(&entropy) % (last + 1));
    }
    keys
}

/// The look-ups that each verifier made so far.
async fn lookups(deployment: &Deployment) -> Vec<u64> {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let counts = deployment.telemetry(Role::Verification).into_iter().map(|at| {
        let request = http.get(format!("http://{at}/metrics"));
        async move {
            let text = request.send().await.expect("an answer").text().await.expect("text");
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("keystile_verification_lookups_total "));
            line.expect("the counter").parse().expect("a number")
        }
    });
    join_all(counts).await
}

fn ratio(of: u64, to: u64) -> f64 {
    let exact = |count| f64::from(u32::try_from(count).expect("less than four thousand million"));
    exact(of) / exact(to)
}

/// The look-ups since `before` by the number of keys: of all verifiers, and of the busiest.
fn a_key(before: &[u64], after: &[u64], keys: usize) -> (f64, f64) {
    let made: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let a_key = |lookups: u64| ratio(lookups, keys as u64);
    (a_key(made.iter().sum()), a_key(made.iter().copied().max().unwrap_or(0)))
}

fn median(of: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut all: Vec<_> = of.collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

async fn flush(extent: Extent) {
    let keys = extent.keys;
    let l1_bytes = (keys * L1_BYTES_A_KEY).to_string();
    let settings = [
        ("KEYSTILE_TELEMETRY__LOG", "info"),
        ("KEYSTILE_SANDBOX__URL", "http://127.0.0.1:9"),
        ("KEYSTILE_VERIFICATION__L1_BYTES", &l1_bytes),
        ("KEYSTILE_CACHE__TIMEOUT_MS", "500"),
    ];
    let roles = [(Role::Issuance, 2), (Role::Vault, 1), (Role::Verification, extent.verifiers)];
    let mut deployment = Deployment::new(&roles, 0, &settings).await;
    deployment.launch(&[Role::Issuance, Role::Vault]).await;
    let began = SystemClock.tick();
    let made = create(&Console::new(&deployment), keys).await;
    println!("{keys} keys created in {} s", SystemClock.tick().since(began).as_secs());
    deployment.launch(&[Role::Verification]).await;

    let verifiers = Verifiers::new(&deployment, LEASE);
    let load = Arc::new(Load {
        verifiers: Arc::clone(&verifiers),
        keys: made,
        next: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let start = lookups(&deployment).await;
    let load_from = SystemClock.tick();
    let workers: Vec<_> = (0..extent.verifiers * extent.workers)
        .map(|n| tokio::spawn(Arc::clone(&load).work(n % extent.verifiers, n as u64)))
        .collect();
    load.reaches(keys).await;
    let filled = lookups(&deployment).await;
    let warm_from = SystemClock.tick();
    load.reaches(keys * 3 / 2).await;

    let before = lookups(&deployment).await;
    let flushed_at = SystemClock.tick();
    deployment.flush_cache();
    load.reaches(load.next.load(Relaxed) + keys * 3 / 2).await;
    let after = lookups(&deployment).await;
    let ended_at = SystemClock.tick();
    load.over.store(true, Relaxed);
    let took = join_all(workers).await.into_iter().flat_map(|took| took.expect("joins"));
    let took: Vec<_> = took.collect();

    let between = |from: Tick, to: Tick| {
        let within = took.iter().filter(move |(at, _)| from <= *at && *at < to);
        median(within.map(|(_, took)| *took))
    };
    let warm = between(warm_from, flushed_at).expect("asked");
    let windows = ended_at.since(flushed_at).as_nanos() / extent.window.as_nanos();
    let windows = u32::try_from(windows).expect("few");
    let medians: Vec<_> = (0..windows)
        .map(|n| between(flushed_at + extent.window * n, flushed_at + extent.window * (n + 1)))
        .collect();
    let is_back = |median: &Option<Duration>| median.is_some_and(|median| median <= warm * 3 / 2);
    let back = medians.windows(2).position(|two| two.iter().all(is_back));
    let back = back.map(|at| extent.window * u32::try_from(at).expect("few"));
    let worst = medians.iter().flatten().max().copied().unwrap_or_default();

    let load_ms = u64::try_from(ended_at.since(load_from).as_millis()).expect("short");
    let rate = 1e3 * ratio(took.len() as u64, load_ms);
    println!("{} verifiers, 2 issuance, {keys} keys, {rate:.0} verifies/s", extent.verifiers);
    println!("{:<34}{:>10}{:>16}", "look-ups a key", "all", "busiest verifier");
    let mut all = Vec::new();
    for (what, from, to) in [
        ("cold start", &start, &filled),
        ("warm", &filled, &before),
        ("after FLUSHALL", &before, &after),
    ] {
        let (total, busiest) = a_key(from, to, keys);
        println!("{what:<34}{total:>10.3}{busiest:>16.3}");
        all.push(total);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("p50 {:.2} ms warm, {:.2} ms in the worst window", ms(warm), ms(worst));
    let back = back.map_or("not seen".to_owned(), |back| format!("{:.1} s", back.as_secs_f64()));
    println!("back to 1.5 times the warm p50 after: {back}");
    println!("{}", verifiers.tally);

    assert!(verifiers.tally.wrong().is_empty(), "{:?}", verifiers.tally.wrong());
    assert_eq!(verifiers.tally.early.load(Relaxed), 0, "a live key was refused");
    let (unavailable, allowed) = (&verifiers.tally.unavailable, &verifiers.tally.allowed);
    let (unavailable, allowed) = (unavailable.load(Relaxed), allowed.load(Relaxed));
    assert!(unavailable * 100 <= allowed, "{unavailable} of {allowed} had no answer");
    // An empty cache costs a look-up a key: else it was not asked.
    assert!(all[2] > 0.9 && all[2] <= 1.1, "{} look-ups a key", all[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn emptying_the_cache_at_full_load_costs_a_look_up_a_key_and_refuses_none() {
    flush(Extent { verifiers: 2, keys: 1_000, workers: 4, window: Duration::from_millis(250) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "deep: tests/deep flushall"]
async fn deep_flushall_of_a_hundred_thousand_keys() {
    flush(Extent {
        verifiers: 8,
        keys: asked("FLUSHALL_KEYS", 100_000),
        workers: 8,
        window: Duration::from_secs(1),
    })
    .await;
}
