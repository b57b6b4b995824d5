//! What the caches do when the log moves.
//!
//! L1 does nothing row by row: the tombstone is installed already, an entry that it overtakes is a
//! miss at its next use and is removed there, and one that is never used again falls out by itself.
//! An index from scopes to digests would cost every key memory to save that.

use async_trait::async_trait;
use keystile_domain::log::{Applied, History, LogRow};
use keystile_follower::{Apply, ApplyError};

use crate::caches::Caches;

#[async_trait]
impl Apply for Caches {
    async fn resume_from(&self) -> Result<Option<Applied>, ApplyError> {
        Ok(None)
    }

    async fn reset(&self, begin: &Applied) -> Result<(), ApplyError> {
        self.l1.clear();
        self.negatives.reset(begin.position);
        Ok(())
    }

    async fn apply(&self, history: &History, rows: &[LogRow]) -> Result<(), ApplyError> {
        self.negatives.apply(history, rows);
        Ok(())
    }
}
