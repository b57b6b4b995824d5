//! Time, injected.
//!
//! Wall time decides expiry; a [`Tick`] decides leases and deadlines. The two are never mixed.

use std::time::Duration;

use time::OffsetDateTime;

/// A source of time. Production uses `runtime::SystemClock`, tests `testkit::MockClock`.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, UTC. May jump.
    fn now(&self) -> OffsetDateTime;

    /// Time since boot, suspend included (`CLOCK_BOOTTIME` on Linux). Never goes back.
    fn tick(&self) -> Tick;
}

/// An instant on the machine's boot-time clock. Means nothing on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(Duration);

impl Tick {
    /// An instant `since_boot` after the machine started.
    #[must_use]
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The time since boot.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Tick {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}
