//! The choice of L1: the HMAC of a whole token and a look-up by its digest, with L1 as it is
//! (`quick_cache`) and with moka in its place, from a thousand entries to five million. The two are
//! measured in turns, so that a busy machine slows both alike, and hold the very same entries.
//!
//! `cargo bench -p keystile-verification --bench l1` prints a line for each size. It takes 5 GiB.

#[path = "../src/l1.rs"]
#[expect(dead_code, reason = "the service uses all of it")]
mod l1;

use std::{fs, hint::black_box, iter, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use keystile_domain::{
    Entropy, Environment, KeyId, Position, SecretId, TeamId, Tick, entropy,
    facts::{KeyFacts, KeyStatus},
    limits::Limits,
    log::History,
    token::Digest,
};
use keystile_testkit::SeededEntropy;
use l1::{DigestPrefix, Entry, L1};
use sha2::Sha256;
use uuid::Uuid;

const SIZES: [u32; 3] = [1_000, 100_000, 5_000_000];
const LOOKUPS: u16 = 20_000;
const ROUNDS: usize = 40;
/// No size is to evict anything.
const ROOM: u64 = 16 << 30;

type Moka = moka::sync::Cache<Digest, Arc<Entry>, DigestPrefix>;

/// As long as a token. All it must do is differ from the others.
fn token(number: u32) -> [u8; 76] {
    let mut text = [b'0'; 76];
    text[..4].copy_from_slice(&number.to_le_bytes());
    text
}

fn digest(key: &Hmac<Sha256>, number: u32) -> Digest {
    let mut mac = key.clone();
    mac.update(&token(number));
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

fn entry(number: u32) -> Arc<Entry> {
    let id = Uuid::from_u128(number.into());
    let facts = KeyFacts {
        key: KeyId::from_uuid(id),
        team: TeamId::from_uuid(id),
        kid: "0123456789abcdef".parse().expect("a kid"),
        name: Box::default(),
        environment: Environment::Prod,
        status: KeyStatus::Active,
        team_suspended: false,
        api_access: true,
        expires_at: None,
        ip_allow_list: Box::default(),
        limits: Limits::default(),
        secrets: Box::default(),
        grants: Box::default(),
    };
    let history = History { database: [1; 16], timeline: 0 };
    let as_of = Position { history, seq: number.into() };
    Arc::new(Entry::new(facts, SecretId::from_uuid(id), as_of, Tick::from_boot(Duration::ZERO)))
}

/// Numbers of tokens, each as likely as any other.
fn asked(below: u32, entropy: &SeededEntropy) -> Vec<u32> {
    let number = || {
        let random = u32::from_le_bytes(entropy::bytes(entropy as &dyn Entropy));
        let scaled = (u64::from(random) * u64::from(below)) >> 32;
        u32::try_from(scaled).expect("below a u32")
    };
    iter::repeat_with(number).take(LOOKUPS.into()).collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clocks")]
fn timed(numbers: &[u32], mut work: impl FnMut(u32)) -> Duration {
    let start = std::time::Instant::now();
    for number in numbers {
        work(*number);
    }
    start.elapsed()
}

/// Nanoseconds a look-up.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

/// MiB of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn main() {
    let key = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length");
    let entropy = SeededEntropy::new(1);
    for size in SIZES {
        let entries: Vec<_> = (0..size).map(entry).collect();
        let before = resident();
        let l1 = L1::new(ROOM);
        for (number, entry) in (0..).zip(&entries) {
            l1.insert(digest(&key, number), Arc::clone(entry));
        }
        let between = resident();
        let moka: Moka = moka::sync::Cache::builder()
            .max_capacity(ROOM)
            .weigher(|_, _| 1024)
            .build_with_hasher(DigestPrefix::default());
        for (number, entry) in (0..).zip(&entries) {
            moka.insert(digest(&key, number), Arc::clone(entry));
        }
        moka.run_pending_tasks();
        let after = resident();
        drop(entries);

        let [mut hmac, mut quick_cache, mut other] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let numbers = asked(size, &entropy);
            hmac.push(timed(&numbers, |number| {
                black_box(digest(&key, number));
            }));
            quick_cache.push(timed(&numbers, |number| {
                let entry = l1.get(&digest(&key, number)).expect("kept");
                black_box(entry.as_of.seq);
            }));
            // Others, or the second would find its entries in the processor's caches.
            let numbers = asked(size, &entropy);
            other.push(timed(&numbers, |number| {
                let entry = moka.get(&digest(&key, number)).expect("kept");
                black_box(entry.as_of.seq);
            }));
        }
        let [hmac, quick_cache, other] = [hmac, quick_cache, other].map(median);
        println!(
            "{size:7} entries: hmac {hmac:.0} ns; with quick_cache {quick_cache:.0} ns, {} MiB; \
             with moka {other:.0} ns, {} MiB; ratio moka/quick_cache = {:.2}",
            between - before,
            after - between,
            other / quick_cache,
        );
    }
}
