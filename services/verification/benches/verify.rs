//! What a warm verification costs: parse, tag, L1 and decision in process, against one HMAC-SHA-256
//! of the whole token. The two are measured in turns, so that a busy machine slows both alike.
//!
//! `cargo bench -p keystile-verification` prints `ratio verify/hmac = X.XX`.

#[path = "../tests/verify/issuance.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod issuance;

use std::{collections::BTreeSet, hint::black_box, sync::Arc, time::Duration};

use futures::FutureExt;
use hmac::{Hmac, KeyInit, Mac};
use issuance::Issuance;
use keystile_cache::memory::Memory;
use keystile_contract::SealKeys;
use keystile_domain::{
    Clock, ComponentId, Grant, Role, Tick,
    facts::{GrantFacts, Request},
    token::TokenKeyRing,
};
use keystile_testkit::{MockClock, SeededEntropy};
use keystile_verification::{Answer, Config, Deps, Question, Service};
use sha2::Sha256;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

const KEYS: u16 = 1000;
const ROUNDS: usize = 200;

/// The clocks that production reads.
struct RealClock;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clocks")]
impl Clock for RealClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn tick(&self) -> Tick {
        // The standard library's monotonic clock costs what CLOCK_BOOTTIME does.
        use std::{sync::LazyLock, time::Instant};
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Tick::from_boot(START.elapsed())
    }
}

struct Rig {
    service: Service,
    tokens: Vec<String>,
    component: ComponentId,
}

async fn rig() -> Rig {
    let ring = TokenKeyRing::new([(1, [7; 32])]).expect("a ring");
    // No answer is late, so nothing moves this clock.
    let clock = MockClock::default();
    let issuance = Issuance::new(ring.clone(), clock, Arc::new(SeededEntropy::new(1)));
    let component: ComponentId = "action.gmail.send-email".parse().expect("valid");
    let components = ["action.gmail.list-emails", "action.gmail.read-email"]
        .map(|id| id.parse().expect("valid"))
        .into_iter()
        .chain([component.clone()]);
    let components: BTreeSet<ComponentId> = components.collect();
    let grant = Grant::new(component.app_key(), None, None, components).expect("valid");
    let tokens = (0..KEYS).map(|_| {
        let held = GrantFacts { grant: grant.clone(), usable: true };
        issuance.create(|facts| facts.grants = Box::new([held])).1
    });
    let tokens = tokens.collect();
    let deps = Deps {
        clock: Arc::new(RealClock),
        entropy: Arc::new(SeededEntropy::new(2)),
        seal_keys: SealKeys::derive(Role::Verification, &[(1, [1; 32])]),
        token_keys: ring,
        issuance: issuance.transport(),
        l2: Arc::new(Memory::new(1 << 20, Arc::new(RealClock))),
    };
    let service = keystile_verification::build(Config::default(), deps).expect("built");
    let running = service.clone();
    tokio::spawn(async move { running.run(CancellationToken::new()).await });
    service.wait_ready().await;
    Rig { service, tokens, component }
}

impl Rig {
    fn question<'q>(&'q self, token: &'q str) -> Question<'q> {
        let request = Request { component: Some(&self.component), ..Request::default() };
        Question { token, request, at_least: None }
    }

    fn verify_all(&self) {
        for token in &self.tokens {
            let answer = self.service.verifier().verify(&self.question(token)).now_or_never();
            assert!(matches!(black_box(answer), Some(Ok(Answer::Allowed(_)))), "not warm");
        }
    }

    fn hmac_all(&self, key: &Hmac<Sha256>) {
        for token in &self.tokens {
            let mut mac = key.clone();
            mac.update(token.as_bytes());
            black_box(mac.finalize());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clocks")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e9 / f64::from(KEYS)
}

#[tokio::main]
async fn main() {
    let rig = rig().await;
    for token in &rig.tokens {
        rig.service.verifier().verify(&rig.question(token)).await.expect("warmed");
    }
    // The key is set up once, as it is for the tag: this baseline is the fastest HMAC there is.
    let key = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length");
    let (mut verify, mut hmac) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hmac.push(timed(|| rig.hmac_all(&key)));
        verify.push(timed(|| rig.verify_all()));
    }
    let (verify, hmac) = (median(verify), median(hmac));
    println!("hmac   {hmac:8.1} ns   one HMAC-SHA-256 of the whole token");
    println!("verify {verify:8.1} ns   parse, tag, L1 and decision, {KEYS} keys");
    println!("ratio verify/hmac = {:.2}", verify / hmac);
}
