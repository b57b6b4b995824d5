//! A clock that moves when a test says so.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_domain::{Clock, Tick};
use time::{OffsetDateTime, macros::datetime};

/// A clock at 2026-01-01 12:00 UTC, one hour after boot, that only [`MockClock::advance`] moves.
/// Clones share the time.
#[derive(Debug, Clone)]
pub struct MockClock(Arc<Mutex<(OffsetDateTime, Duration)>>);

impl Default for MockClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((datetime!(2026-01-01 12:00 UTC), Duration::from_hours(1)))))
    }
}

impl MockClock {
    /// Moves wall time and boot time together.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.0 += by;
        time.1 += by;
    }

    /// Moves wall time alone, as an operator or NTP does.
    pub fn set_wall(&self, now: OffsetDateTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Clock for MockClock {
    fn now(&self) -> OffsetDateTime {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn tick(&self) -> Tick {
        Tick::from_boot(self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}
