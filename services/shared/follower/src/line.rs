//! One registration: the history it counts in, how far it is applied, its lease and tombstones.

use std::sync::atomic::{AtomicU64, Ordering};

use keystile_domain::{Position, Scope, log::History};

use crate::{Rejected, Settings, lease::Lease, tombstones::Tombstones};

#[derive(Debug)]
pub(crate) struct Line {
    history: History,
    applied: AtomicU64,
    pub(crate) lease: Lease,
    pub(crate) tombstones: Tombstones,
}

impl Line {
    /// A registration that begins at `begin`: facts from before it count as missing.
    pub(crate) fn new(begin: &Position, settings: &Settings) -> Self {
        Self {
            history: begin.history,
            applied: AtomicU64::new(begin.seq),
            lease: Lease::default(),
            tombstones: Tombstones::new(begin.seq, settings.cache_ttl, settings.max_tombstones),
        }
    }

    pub(crate) fn history(&self) -> History {
        self.history
    }

    pub(crate) fn applied(&self) -> Position {
        Position { history: self.history, seq: self.applied.load(Ordering::Acquire) }
    }

    /// Notes that everything up to `seq` is applied.
    pub(crate) fn advance(&self, seq: u64) {
        self.applied.store(seq, Ordering::Release);
    }

    /// The tombstone rule.
    pub(crate) fn check(
        &self,
        as_of: &Position,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(), Rejected> {
        if as_of.history != self.history {
            return Err(Rejected::ForeignHistory);
        }
        self.tombstones
            .check(as_of.seq, scopes)
            .map_err(|seq| Rejected::Stale { needed: Position { history: self.history, seq } })
    }
}
