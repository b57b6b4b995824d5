//! Renewing a lease.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{LogRow, Nonce},
};

use crate::{
    Error, Service,
    store::{Epoch, Renewal},
};

/// What the follower has not applied.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The head of the log.
    pub head: Position,
    /// The head's mark.
    pub head_nonce: Nonce,
    /// The rows after what was applied.
    pub rows: Vec<LogRow>,
}

impl Service {
    /// Answers a renewal from one plain read: no lock, no write. Counts as an acknowledgement of
    /// what was applied.
    ///
    /// # Errors
    /// [`Error::UnknownIncarnation`] unless it is registered and not retiring;
    /// [`Error::AnotherRole`] if it is not of the caller's; [`Error::HistoryMismatch`] if what it
    /// applied is not of this log.
    pub async fn renew(
        &self,
        by: Role,
        incarnation: Incarnation,
        applied: Position,
        applied_nonce: Nonce,
    ) -> Result<Renewed, Error> {
        let Renewal { epoch, live, rows } = self.store.renewal(incarnation, applied.seq).await?;
        if live.ok_or(Error::UnknownIncarnation)? != by {
            return Err(Error::AnotherRole);
        }
        if applied.history != epoch.history || !continues(&epoch, &rows, applied, applied_nonce) {
            return Err(Error::HistoryMismatch);
        }
        self.acknowledge(incarnation, applied);
        self.note_answered(incarnation);
        Ok(Renewed { head: epoch.position(), head_nonce: epoch.nonce, rows })
    }
}

/// Does the log go on from exactly the row that was applied?
fn continues(epoch: &Epoch, rows: &[LogRow], applied: Position, nonce: Nonce) -> bool {
    match rows.first() {
        Some(next) => next.seq == applied.seq + 1 && next.previous == nonce,
        None => epoch.head == applied.seq && epoch.nonce == nonce,
    }
}
