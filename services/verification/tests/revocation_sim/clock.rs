//! A clock for each machine: its own rate within what the lease terms allow, its own offsets.

use std::{cell::Cell, time::Duration};

use keystile_domain::{Clock, Tick};
use time::{OffsetDateTime, macros::datetime};

use crate::rng::Rng;

/// ρ of the simulation, in parts per million.
pub(crate) const DRIFT_PPM: u32 = 100_000;
/// How far a rate is from that of true time at most: two such clocks differ by ρ at most.
const MOST_PPM: u64 = 47_000;

thread_local! {
    /// What is polled now, as a clock that undoes a guard sees it.
    static FOLLOWING: Cell<bool> = const { Cell::new(false) };
}

/// Polls `work` as that of the follower's own task.
pub(crate) async fn following<F: Future>(work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        FOLLOWING.set(true);
        let polled = work.as_mut().poll(context);
        FOLLOWING.set(false);
        polled
    })
    .await
}

/// How a twin's clock lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// The follower's task reads a time that is still to come: its leases begin when a slow answer
    /// arrives, not when it was asked for.
    Ahead(Duration),
    /// Questions find no time passing: no lease ends for them.
    Stopped,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SimClock {
    start: tokio::time::Instant,
    booted: Duration,
    /// Nanoseconds of this clock in a million of true time.
    rate: u64,
    skew: time::Duration,
    lie: Lie,
}

impl SimClock {
    /// True time.
    pub(crate) fn exact() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock of the simulation")]
        let start = tokio::time::Instant::now();
        let booted = Duration::from_secs(10_000);
        Self { start, booted, rate: 1_000_000, skew: time::Duration::ZERO, lie: Lie::None }
    }

    /// As fast, or as slow, as a clock may be.
    pub(crate) fn extreme(self, fast: bool) -> Self {
        let rate = if fast { 1_000_000 + MOST_PPM } else { 1_000_000 - MOST_PPM };
        Self { rate, ..self }
    }

    /// A clock of some machine, whose wall clock may be wrong by `skew` seconds at most.
    pub(crate) fn drawn(rng: &Rng, skew: i64, lie: Lie) -> Self {
        // As often at an end of the range as between: leases are lost and won at the ends.
        let off = match rng.below(4) {
            0 => 0,
            1 => 2 * MOST_PPM,
            _ => rng.below(2 * MOST_PPM + 1),
        };
        let skew = rng.below(2 * skew.unsigned_abs() + 1).cast_signed() - skew;
        Self {
            booted: rng.millis(1_000_000, 9_000_000),
            rate: 1_000_000 - MOST_PPM + off,
            skew: time::Duration::seconds(skew),
            lie,
            ..Self::exact()
        }
    }

    fn passed(&self) -> Duration {
        let nanos = self.start.elapsed().as_nanos() * u128::from(self.rate) / 1_000_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Clock for SimClock {
    fn now(&self) -> OffsetDateTime {
        datetime!(2026-01-01 12:00 UTC) + self.skew + self.passed()
    }

    fn tick(&self) -> Tick {
        let now = Tick::from_boot(self.booted + self.passed());
        match (self.lie, FOLLOWING.get()) {
            (Lie::Ahead(by), true) => now + by,
            (Lie::Stopped, false) => Tick::from_boot(self.booted),
            (Lie::None, _) | (Lie::Ahead(_), false) | (Lie::Stopped, true) => now,
        }
    }
}
