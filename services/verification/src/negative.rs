//! Genuine tokens that open nothing: of no key, or an earlier secret of one.
//!
//! Apart from L1 so that a flood of them pushes out no key that works, and bounded by number. Only
//! tokens whose tag is valid get here: anybody else is refused before.

use std::sync::atomic::{AtomicU64, Ordering};

use keystile_domain::{
    KeyId, Position, Tick,
    log::{ChangeKind, LogRow},
    token::Digest,
};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::l1::DigestPrefix;

/// What was found for a token that opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Negative {
    /// The key whose secret it is not; `None` if there was no key by its kid.
    pub(crate) key: Option<KeyId>,
    /// What that reflects.
    pub(crate) as_of: Position,
    /// An hour after issuance was asked.
    pub(crate) ends_at: Tick,
}

pub(crate) struct Negatives {
    entries: Cache<Digest, Negative, UnitWeighter, DigestPrefix>,
    /// The last row that created a key. A kid that was unknown before it may be known now.
    last_created: AtomicU64,
}

impl Negatives {
    pub(crate) fn new(capacity: usize) -> Self {
        let entries = Cache::with(
            capacity,
            capacity as u64,
            UnitWeighter,
            DigestPrefix::default(),
            DefaultLifecycle::default(),
        );
        Self { entries, last_created: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Negative> {
        self.entries.get(digest)
    }

    pub(crate) fn insert(&self, digest: Digest, negative: Negative) {
        self.entries.insert(digest, negative);
    }

    pub(crate) fn remove(&self, digest: &Digest) {
        self.entries.remove(digest);
    }

    /// Has no key been created since? An entry that names a key answers to that key's tombstones
    /// instead.
    pub(crate) fn still_unknown(&self, negative: &Negative) -> bool {
        negative.key.is_some() || negative.as_of.seq >= self.last_created.load(Ordering::Acquire)
    }

    /// Hears of rows before they are acknowledged and before the lease is extended over them.
    pub(crate) fn apply(&self, rows: &[LogRow]) {
        let created = rows.iter().rev().find(|row| row.kind == ChangeKind::KeyCreated);
        if let Some(row) = created {
            self.last_created.fetch_max(row.seq, Ordering::AcqRel);
        }
    }

    /// Forgets everything, up to row `begin` of a history that may be another.
    pub(crate) fn reset(&self, begin: u64) {
        self.entries.clear();
        self.last_created.store(begin, Ordering::Release);
    }
}
