//! Tombstones: for each scope, the row of the log before which facts about it are not used.
//!
//! A tombstone is dropped only by raising the floor to its row. Reading takes no lock unless a
//! scope, or another that shares its slot, changed after the facts were read.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keystile_domain::{Scope, Tick, log::LogRow};

/// Slots of the sieve: 128 KiB, and few false alarms up to some thousand changes an hour.
const SLOTS: usize = 1 << 14;

#[derive(Debug)]
pub(crate) struct Tombstones {
    /// F: facts from before this row count as missing.
    floor: AtomicU64,
    /// The newest row of all. Facts that reflect it answer to no tombstone.
    newest: AtomicU64,
    /// For each slot, the newest row of any scope that falls into it: an upper bound that is read
    /// without a lock and settles nearly every question.
    sieve: Box<[AtomicU64]>,
    exact: RwLock<Exact>,
    ttl: Duration,
    max: usize,
}

#[derive(Debug, Default)]
struct Exact {
    rows: HashMap<Scope, u64>,
    /// Every installed row, oldest first, with when it was installed.
    age: VecDeque<(Tick, Scope, u64)>,
}

impl Tombstones {
    pub(crate) fn new(floor: u64, ttl: Duration, max: usize) -> Self {
        Self {
            floor: AtomicU64::new(floor),
            newest: AtomicU64::new(floor),
            sieve: std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect(),
            exact: RwLock::default(),
            ttl,
            max,
        }
    }

    /// Installs the rows' tombstones; when it returns, every reader sees them.
    pub(crate) fn install(&self, rows: &[LogRow], now: Tick) {
        let mut exact = self.exact.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            exact.rows.insert(row.scope, row.seq);
            exact.age.push_back((now, row.scope, row.seq));
            self.sieve[slot(row.scope)].fetch_max(row.seq, Ordering::AcqRel);
            self.newest.fetch_max(row.seq, Ordering::AcqRel);
        }
        while let Some(&(installed_at, scope, seq)) = exact.age.front()
            && (exact.age.len() > self.max || now.since(installed_at) >= self.ttl)
        {
            // The floor rises first: at no moment is a row covered by neither.
            self.floor.fetch_max(seq, Ordering::AcqRel);
            exact.age.pop_front();
            if exact.rows.get(&scope) == Some(&seq) {
                exact.rows.remove(&scope);
            }
        }
    }

    /// May facts as of `seq` about `scopes` be used? If not, the row that newer ones must reflect.
    pub(crate) fn check(
        &self,
        seq: u64,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(), u64> {
        // The floor is never above it.
        if seq >= self.newest.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut needed = 0;
        for scope in scopes {
            if self.sieve[slot(scope)].load(Ordering::Acquire) > seq {
                let exact = self.exact.read().unwrap_or_else(PoisonError::into_inner);
                needed = needed.max(exact.rows.get(&scope).copied().unwrap_or(0));
            }
        }
        // The floor last: what was dropped from the exact rows meanwhile is covered by it.
        needed = needed.max(self.floor.load(Ordering::Acquire));
        if seq < needed { Err(needed) } else { Ok(()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.exact.read().unwrap_or_else(PoisonError::into_inner).rows.len()
    }
}

/// The low bits of a UUIDv7 are random; no more hashing is needed.
fn slot(scope: Scope) -> usize {
    let id = match scope {
        Scope::Key(id) => id.as_uuid(),
        Scope::Team(id) => id.as_uuid(),
        Scope::Integration(id) => id.as_uuid(),
        Scope::Connection(id) => id.as_uuid(),
    };
    usize::from(u16::from_be_bytes([id.as_bytes()[14], id.as_bytes()[15]])) % SLOTS
}

#[cfg(test)]
mod tests {
    use keystile_domain::{
        KeyId, OperationId, TeamId,
        log::{ChangeKind, Nonce},
    };
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn key(id: u128) -> Scope {
        Scope::Key(KeyId::from_uuid(Uuid::from_u128(id)))
    }

    fn row(seq: u64, scope: Scope) -> LogRow {
        LogRow {
            seq,
            nonce: Nonce([0; 16]),
            previous: Nonce([0; 16]),
            scope,
            kind: ChangeKind::KeyRevoked,
            cut: true,
            operation: OperationId::from_uuid(Uuid::from_u128(1)),
        }
    }

    fn at(secs: u64) -> Tick {
        Tick::from_boot(Duration::from_secs(secs))
    }

    #[test]
    fn facts_older_than_a_row_of_their_scope_are_refused_and_no_others() {
        let tombstones = Tombstones::new(5, HOUR, 100);
        tombstones.install(&[row(6, key(1)), row(7, key(2)), row(8, key(1))], at(0));
        assert_eq!(tombstones.check(8, [key(1)]), Ok(()));
        assert_eq!(tombstones.check(7, [key(1)]), Err(8));
        assert_eq!(tombstones.check(7, [key(2)]), Ok(()));
        assert_eq!(tombstones.check(6, [key(3), key(2)]), Err(7));
        assert_eq!(tombstones.check(5, [key(3)]), Ok(()));
        assert_eq!(tombstones.check(4, [key(3)]), Err(5), "below the floor");
        assert_eq!(tombstones.len(), 2);
    }

    #[test]
    fn scopes_that_share_a_slot_are_told_apart() {
        let tombstones = Tombstones::new(0, HOUR, 100);
        let other = key(1 + (1 << 64));
        assert_eq!(slot(key(1)), slot(other));
        tombstones.install(&[row(1, key(1))], at(0));
        assert_eq!(tombstones.check(0, [other]), Ok(()));
        let team = Scope::Team(TeamId::from_uuid(Uuid::from_u128(1)));
        assert_eq!(tombstones.check(0, [team]), Ok(()), "an id of another kind");
    }

    #[test]
    fn a_tombstone_goes_only_by_raising_the_floor() {
        let tombstones = Tombstones::new(0, HOUR, 2);
        tombstones.install(&[row(1, key(1)), row(2, key(2)), row(3, key(3))], at(0));
        assert_eq!(tombstones.len(), 2, "the oldest made room");
        assert_eq!(tombstones.check(0, [key(9)]), Err(1));
        assert_eq!(tombstones.check(1, [key(1)]), Ok(()));
        tombstones.install(&[row(4, key(4))], at(3600));
        assert_eq!(tombstones.len(), 1, "an hour is over");
        assert_eq!(tombstones.check(2, [key(9)]), Err(3));
        assert_eq!(tombstones.check(3, [key(4)]), Err(4));
        assert_eq!(tombstones.check(4, [key(4)]), Ok(()));
    }

    #[test]
    fn a_newer_tombstone_of_a_scope_outlives_its_older_one() {
        let tombstones = Tombstones::new(0, HOUR, 2);
        let rows = [row(1, key(1)), row(2, key(1)), row(3, key(2))];
        tombstones.install(&rows, at(0));
        assert_eq!(tombstones.check(1, [key(1)]), Err(2));
    }
}
