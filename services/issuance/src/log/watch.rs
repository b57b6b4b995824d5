//! Pushing rows as they are committed.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{Applied, History, LogRow},
};
use tokio::sync::watch;

use crate::{Error, Service};

/// Rows that are pushed at once, at most.
const BATCH: u64 = 1_000;

/// The rows after a point, as they come.
pub struct Rows {
    service: Service,
    head: watch::Receiver<Position>,
    after: Position,
}

impl Service {
    /// Opens the stream of a registered follower, from what it applied: the row itself is checked
    /// here, so that what it acknowledges later, which it applied onto that row, need not be.
    ///
    /// # Errors
    /// Those of [`Service::renew`].
    pub async fn watch(
        &self,
        by: Role,
        incarnation: Incarnation,
        applied: Applied,
    ) -> Result<Rows, Error> {
        self.reached(by, incarnation, applied).await?;
        let head = self.head.subscribe();
        Ok(Rows { service: self.clone(), head, after: applied.position })
    }

    /// Notes an acknowledgement of a registered follower by its own role, for the other processes as
    /// well: any of them may wait for it.
    pub fn acknowledge(&self, incarnation: Incarnation, applied: Position) {
        if self.barrier.acknowledge(incarnation, applied) {
            self.news.acknowledged(incarnation, applied);
        }
    }
}

impl Rows {
    /// The next rows, at least one, as soon as they are there.
    ///
    /// # Errors
    /// [`Error::HistoryMismatch`] if the database went on in another history; [`Error::Store`].
    pub async fn next(&mut self) -> Result<(History, Vec<LogRow>), Error> {
        loop {
            // Marked as seen before the read: a row that is committed after it wakes us again.
            self.head.borrow_and_update();
            let (history, rows) = self.service.store.log_after(self.after.seq, BATCH).await?;
            if history != self.after.history {
                return Err(Error::HistoryMismatch);
            }
            if let Some(last) = rows.last() {
                self.after.seq = last.seq;
                return Ok((history, rows));
            }
            if self.head.changed().await.is_err() {
                return Err(Error::Defect("the service is gone"));
            }
        }
    }
}
