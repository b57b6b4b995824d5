//! Renewing a lease.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{Applied, LogRow, Nonce},
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
        applied: Applied,
    ) -> Result<Renewed, Error> {
        let renewed = self.reached(by, incarnation, applied).await?;
        self.note_answered([incarnation]);
        Ok(renewed)
    }

    /// Hears what a live follower applied, of its own role, and reads what it has not.
    pub(super) async fn reached(
        &self,
        by: Role,
        incarnation: Incarnation,
        applied: Applied,
    ) -> Result<Renewed, Error> {
        let after = applied.position.seq;
        let Renewal { epoch, live, rows } = self.store.renewal(incarnation, after).await?;
        if live.ok_or(Error::UnknownIncarnation)? != by {
            return Err(Error::AnotherRole);
        }
        if !continues(&epoch, &rows, &applied) {
            return Err(Error::HistoryMismatch);
        }
        self.acknowledge(incarnation, applied.position);
        Ok(Renewed { head: epoch.position(), head_nonce: epoch.nonce, rows })
    }
}

/// Does the log go on from exactly the row that was applied? `rows` are those after it.
pub(super) fn continues(epoch: &Epoch, rows: &[LogRow], applied: &Applied) -> bool {
    let Applied { position, nonce } = applied;
    position.history == epoch.history
        && match rows.first() {
            Some(next) => next.seq == position.seq + 1 && next.previous == *nonce,
            None => epoch.head == position.seq && epoch.nonce == *nonce,
        }
}
