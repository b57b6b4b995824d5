//! Counts of work done, for telemetry and for tests that show what costs nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters. Those of the warm path are left out: a shared counter would be its costliest part.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) cache_misses: AtomicU64,
    pub(crate) lookups: AtomicU64,
    pub(crate) hashes: AtomicU64,
}

/// What the counters read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Genuine tokens that no cache could answer for.
    pub cache_misses: u64,
    /// Questions to issuance.
    pub lookups: u64,
    /// Argon2 computations.
    pub hashes: u64,
}

impl Stats {
    /// Reads them, one after the other.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            cache_misses: self.cache_misses.load(Relaxed),
            lookups: self.lookups.load(Relaxed),
            hashes: self.hashes.load(Relaxed),
        }
    }

    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}
