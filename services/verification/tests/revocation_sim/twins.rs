//! Doubles at the ports that undo one guard each; nothing in the code that is tested knows of them.
//! Each must be caught by the checker. `revocation_model/config.rs` has the same names, but for the
//! last: in the model a change is repeated by nobody.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    SealKeys,
    proto::{
        common::v1::{SealKind, Sealed},
        verification::v1::CacheEntry,
    },
};
use keystile_domain::{Role, log::History};
use keystile_issuance::{
    Error,
    store::{Epoch, FollowerRecord, Store, memory::MemoryStore},
};
use prost::Message as _;

use crate::{clock::Lie, rng::Rng, world::SEALING};

/// A guard that is undone, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twin {
    /// Followers are told of a lease twice as long as the one that cuts wait for.
    Wait,
    /// Cuts wait L and a little, as if all clocks ran alike.
    DriftMargin,
    /// The follower's task reads a clock that is ahead by the time that a renewal takes.
    TimeFromSend,
    /// A renewal is answered without the tail, as if the head were what the follower applied.
    ApplyBeforeExtend,
    /// Rows name another scope than what changed.
    Tombstone,
    /// A look-up's answer carries the head of when it arrives, not of when it was read.
    FillRule,
    /// A change counts the followers that there were before it took the lock.
    RegisterUnderLock,
    /// Questions read a clock that stands still.
    LeaseCheck,
    /// Rows are acknowledged for the follower before they are delivered.
    AcknowledgeAfterApply,
    /// Whoever holds Redis holds the sealing key, and gives entries the newest `as_of`.
    Seal,
    /// The database names one history, whatever it goes on from.
    History,
    /// A cut does not count followers that are retiring.
    RetireThenCount,
    /// Every history is called settled.
    Settle,
    /// A transaction that wrote nothing commits even where no commit can: what a repeat of a change
    /// found is answered for, though it may yet be lost.
    DurableRepeat,
}

impl Twin {
    pub(crate) const ALL: [Self; 14] = [
        Self::Wait,
        Self::DriftMargin,
        Self::TimeFromSend,
        Self::ApplyBeforeExtend,
        Self::Tombstone,
        Self::FillRule,
        Self::RegisterUnderLock,
        Self::LeaseCheck,
        Self::AcknowledgeAfterApply,
        Self::Seal,
        Self::History,
        Self::RetireThenCount,
        Self::Settle,
        Self::DurableRepeat,
    ];

    /// How the clock of a verifier lies.
    pub(crate) fn lie(self) -> Lie {
        match self {
            Self::TimeFromSend => Lie::Ahead(Duration::from_millis(500)),
            Self::LeaseCheck => Lie::Stopped,
            _ => Lie::None,
        }
    }

    pub(crate) fn epoch(self, epoch: Epoch) -> Epoch {
        match self {
            Self::History => {
                let history = self.history(epoch.history);
                Epoch { history, settled: history, ..epoch }
            }
            Self::Settle => Epoch { settled: epoch.history, ..epoch },
            _ => epoch,
        }
    }

    pub(crate) fn history(self, history: History) -> History {
        match self {
            Self::History => History { database: [9; 16], timeline: 1 },
            _ => history,
        }
    }

    /// The followers that a transaction counts which is about to begin; `None`: those it reads.
    pub(crate) async fn followers(
        self,
        rows: &MemoryStore,
        rng: &Rng,
    ) -> Result<Option<Vec<FollowerRecord>>, Error> {
        match self {
            Self::RegisterUnderLock => {
                let seen = rows.followers().await?;
                let quick = rng.chance(500);
                tokio::time::sleep(rng.millis(0, if quick { 20 } else { 400 })).await;
                Ok(Some(seen))
            }
            Self::RetireThenCount => {
                let mut counted = rows.followers().await?;
                counted.retain(|follower| !follower.retiring);
                Ok(Some(counted))
            }
            _ => Ok(None),
        }
    }

    /// What Redis gives for an entry, when the log is at `head`.
    pub(crate) fn entry(self, value: Arc<[u8]>, head: u64) -> Option<Arc<[u8]>> {
        if self != Self::Seal {
            return Some(value);
        }
        let keys = SealKeys::derive(Role::Verification, &SEALING);
        let sealed = Sealed::decode(&*value).ok()?;
        let mut entry = CacheEntry::decode(&*sealed.payload).ok()?;
        entry.as_of.as_mut()?.seq = head;
        let ends_at = sealed.expires_at.as_ref().and_then(keystile_contract::convert::wall)?;
        let payload = entry.encode_to_vec();
        let minted = keys.seal(SealKind::Entry, Role::Verification, ends_at, payload).ok()?;
        Some(minted.encode_to_vec().into())
    }
}
