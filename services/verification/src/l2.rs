//! L2: proven facts that outlive a node's memory, behind L1, sealed.
//!
//! Whoever can write the cache can make entries vanish or come back, never be believed: an entry
//! that this installation's verification did not seal for that very digest is none, and an old one
//! meets the same tombstones as everything else that was read earlier.

use std::{sync::Arc, time::Duration};

use keystile_cache::L2;
use keystile_contract::{
    SealKeys,
    convert::{from_key_facts, key_facts, parse, position, required_position, wall},
    proto::{
        common::v1::{SealKind, Sealed},
        verification::v1::CacheEntry,
    },
};
use keystile_domain::{
    Clock, Role,
    token::{Digest, Genuine},
};
use prost::Message as _;

use crate::{caches, l1::Entry};

/// Sealed entries in whatever cache there is.
pub(crate) struct SealedCache {
    cache: Arc<dyn L2>,
    keys: Arc<SealKeys>,
    clock: Arc<dyn Clock>,
}

impl SealedCache {
    pub(crate) fn new(cache: Arc<dyn L2>, keys: Arc<SealKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { cache, keys, clock }
    }

    /// What was kept for the token: read earlier, by any node, so for use under a lease only.
    pub(crate) async fn get(&self, genuine: &Genuine) -> Option<Arc<Entry>> {
        let value = self.cache.get(&genuine.digest).await?;
        let entry = self.open(genuine, &value);
        if entry.is_none() {
            tracing::debug!("an entry of L2 is not ours, or its time is over");
        }
        entry.map(Arc::new)
    }

    /// Keeps what was proved, for as long as it may be used.
    pub(crate) async fn put(&self, digest: &Digest, entry: &Entry) {
        let left = entry.ends_at.since(self.clock.tick());
        if let Some(value) = self.seal(digest, entry, left).filter(|_| !left.is_zero()) {
            self.cache.put(digest, value, left).await;
        }
    }

    fn seal(&self, digest: &Digest, entry: &Entry, left: Duration) -> Option<Arc<[u8]>> {
        let payload = CacheEntry {
            digest: digest.as_bytes().to_vec(),
            secret_id: entry.secret.to_string(),
            as_of: Some(position(&entry.as_of)),
            facts: Some(key_facts(&entry.facts)),
        };
        let (payload, ends_at) = (payload.encode_to_vec(), self.clock.now() + left);
        let sealed = self.keys.seal(SealKind::Entry, Role::Verification, ends_at, payload).ok()?;
        Some(sealed.encode_to_vec().into())
    }

    fn open(&self, genuine: &Genuine, value: &[u8]) -> Option<Entry> {
        let now = self.clock.now();
        let sealed = Sealed::decode(value).ok()?;
        let (_, payload) = self.keys.open(SealKind::Entry, &sealed, now).ok()?;
        let kept = CacheEntry::decode(payload).ok()?;
        if kept.digest != genuine.digest.as_bytes() {
            return None;
        }
        let facts = from_key_facts(kept.facts.as_ref()?).ok()?;
        let as_of = required_position("as_of", kept.as_of.as_ref()).ok()?;
        let secret = parse("secret_id", &kept.secret_id).ok()?;
        let ends_at = sealed.expires_at.as_ref().and_then(wall)?;
        // No longer than a fresh one, whatever the clock of the node that sealed it says.
        let left = Duration::try_from(ends_at - now).ok()?.min(caches::TTL);
        Some(Entry::new(facts, secret, as_of, self.clock.tick() + left))
    }
}
