//! The lease: until when this process may trust what it keeps.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use keystile_domain::Tick;

/// The end of the lease, in nanoseconds since boot; 0 before the first.
#[derive(Debug, Default)]
pub(crate) struct Lease(AtomicU64);

impl Lease {
    /// Is `now` before its end?
    pub(crate) fn is_current(&self, now: Tick) -> bool {
        // Acquire pairs with the Release below: who sees the lease sees the tombstones that were
        // installed before it was extended.
        nanos(now) < self.0.load(Ordering::Acquire)
    }

    /// How long it is still current after `now`; zero once it is not.
    pub(crate) fn left(&self, now: Tick) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire).saturating_sub(nanos(now)))
    }

    /// Extends it to `ttl` after the renewal was sent. Never shortens it.
    pub(crate) fn extend(&self, sent_at: Tick, ttl: Duration) {
        self.0.fetch_max(nanos(sent_at + ttl), Ordering::Release);
    }
}

fn nanos(at: Tick) -> u64 {
    // 584 years of uptime fit.
    u64::try_from(at.since_boot().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_exactly_its_ttl_after_the_renewal_was_sent() {
        let lease = Lease::default();
        let start = Tick::from_boot(Duration::from_secs(10));
        assert!(!lease.is_current(start));
        lease.extend(start, Duration::from_secs(2));
        assert!(lease.is_current(start + Duration::from_nanos(1_999_999_999)));
        assert_eq!(lease.left(start), Duration::from_secs(2));
        assert!(!lease.is_current(start + Duration::from_secs(2)));
        assert_eq!(lease.left(start + Duration::from_secs(3)), Duration::ZERO);
        lease.extend(Tick::from_boot(Duration::from_secs(9)), Duration::from_secs(2));
        assert!(lease.is_current(start + Duration::from_secs(1)), "an older renewal shortens it");
    }
}
