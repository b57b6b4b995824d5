//! The machine's clocks.

use std::time::Duration;

use keystile_domain::{Clock, Tick};
use time::OffsetDateTime;

/// The wall clock, and for ticks `CLOCK_BOOTTIME` on Linux and Android; elsewhere the monotonic
/// clock, which on some systems stands still while the machine is suspended.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
const TICKS: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const TICKS: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn tick(&self) -> Tick {
        let at = rustix::time::clock_gettime(TICKS);
        // Neither part of a monotonic clock is negative.
        let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(at.tv_nsec).unwrap_or(0);
        Tick::from_boot(Duration::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_do_not_go_back() {
        let first = SystemClock.tick();
        assert!(SystemClock.tick() >= first);
        assert!(first.since_boot() > Duration::ZERO);
    }
}
