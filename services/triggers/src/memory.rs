//! What the follower tells is remembered before it is acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use keystile_domain::{
    Position,
    log::{Applied, History, LogRow},
};
use keystile_follower::{Apply, ApplyError};

use crate::store::{Error, Store};

/// Writes the log's tombstones to the store.
pub(crate) struct Memory(pub(crate) Arc<dyn Store>);

fn failed(error: Error) -> ApplyError {
    ApplyError::new(error)
}

#[async_trait]
impl Apply for Memory {
    async fn resume_from(&self) -> Result<Option<Applied>, ApplyError> {
        self.0.applied().await.map_err(failed)
    }

    async fn reset(&self, begin: &Applied) -> Result<(), ApplyError> {
        self.0.reset(begin).await.map_err(failed)
    }

    async fn apply(&self, history: &History, rows: &[LogRow]) -> Result<(), ApplyError> {
        let Some(last) = rows.last() else { return Ok(()) };
        let position = Position { history: *history, seq: last.seq };
        let applied = Applied { position, nonce: last.nonce };
        let changed: Vec<_> = rows.iter().map(|row| (row.scope, row.seq)).collect();
        self.0.advance(&applied, &changed).await.map_err(failed)
    }
}
