//! L2 in the process's own memory, for one process and for tests.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use keystile_domain::{Clock, Tick, token::Digest};
use quick_cache::{Weighter, sync::Cache};

use crate::L2;

/// What an entry weighs besides its value, bytes: key, pointers, the cache's own record.
const OVERHEAD: u64 = 128;

/// For sizing the table before anything is known of the values.
const TYPICAL_WEIGHT: u64 = 1024;

/// Holds `capacity` bytes at most, least useful out first.
pub struct Memory {
    entries: Cache<Digest, Entry, ByBytes>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Entry {
    value: Arc<[u8]>,
    ends_at: Tick,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Digest, Entry> for ByBytes {
    fn weight(&self, _: &Digest, entry: &Entry) -> u64 {
        OVERHEAD + entry.value.len() as u64
    }
}

impl Memory {
    /// An empty cache.
    #[must_use]
    pub fn new(capacity: u64, clock: Arc<dyn Clock>) -> Self {
        let items = usize::try_from(capacity / TYPICAL_WEIGHT).unwrap_or(usize::MAX);
        Self { entries: Cache::with_weighter(items, capacity, ByBytes), clock }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

#[async_trait]
impl L2 for Memory {
    async fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let now = self.clock.tick();
        let entry = self.entries.get(digest)?;
        if now < entry.ends_at {
            return Some(entry.value);
        }
        self.entries.remove_if(digest, |entry| now >= entry.ends_at);
        None
    }

    async fn put(&self, digest: &Digest, value: Arc<[u8]>, ttl: Duration) {
        self.entries.insert(*digest, Entry { value, ends_at: self.clock.tick() + ttl });
    }

    async fn remove(&self, digest: &Digest) {
        self.entries.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use keystile_testkit::MockClock;

    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn it_conforms() {
        let clock = MockClock::default();
        let memory = Memory::new(1 << 20, Arc::new(clock.clone()));
        conformance::check(&memory, async |by| clock.advance(by)).await;
    }

    #[tokio::test]
    async fn it_stays_within_its_capacity() {
        let memory = Memory::new(1 << 20, Arc::new(MockClock::default()));
        for n in 0..10_000_u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            let value = Arc::from([0; 1024]);
            memory.put(&Digest::from_bytes(digest), value, Duration::from_secs(1)).await;
            assert!(memory.weight() <= 1 << 20);
        }
        assert!(memory.weight() > 1 << 18, "{}", memory.weight());
    }
}
