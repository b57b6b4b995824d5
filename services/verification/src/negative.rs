//! Genuine tokens that open nothing: of no key, or an earlier secret of one.
//!
//! Apart from L1 so that a flood of them pushes out no key that works, and bounded by number. Only
//! tokens whose tag is valid get here: anybody else is refused before.

use std::sync::{PoisonError, RwLock};

use keystile_domain::{
    KeyId, Position, Tick,
    log::{ChangeKind, History, LogRow},
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
    /// The last row that created a key, of the history that is followed; `None` before the first. A
    /// kid that was unknown before it may be known now.
    last_created: RwLock<Option<Position>>,
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
        Self { entries, last_created: RwLock::default() }
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
        // In whichever history it is by now: the one that admitted the entry may be over.
        let known = || *self.last_created.read().unwrap_or_else(PoisonError::into_inner);
        negative.key.is_some() || known().is_some_and(|last| negative.as_of.reaches(&last))
    }

    /// Hears of rows before they are acknowledged and before the lease is extended over them.
    pub(crate) fn apply(&self, history: &History, rows: &[LogRow]) {
        let created = rows.iter().rev().find(|row| row.kind == ChangeKind::KeyCreated);
        if let Some(row) = created {
            self.created(Position { history: *history, seq: row.seq });
        }
    }

    /// Goes forward only, unless into another history.
    fn created(&self, at: Position) {
        let mut last = self.last_created.write().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| !last.reaches(&at)) {
            *last = Some(at);
        }
    }

    /// Forgets everything, up to row `begin` of a history that may be another.
    pub(crate) fn reset(&self, begin: Position) {
        self.entries.clear();
        self.created(begin);
    }
}
