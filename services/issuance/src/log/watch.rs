//! Pushing rows as they are committed.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{History, LogRow},
};
use tokio::sync::watch;

use crate::{Error, Service};

/// Rows that are pushed at once, at most.
const BATCH: u64 = 1_000;

/// The rows after a point, as they come.
pub struct Rows {
    service: Service,
    head: watch::Receiver<u64>,
    after: Position,
}

impl Service {
    /// Opens the stream of a registered follower, from what it applied.
    ///
    /// # Errors
    /// [`Error::UnknownIncarnation`], [`Error::AnotherRole`], [`Error::HistoryMismatch`].
    pub async fn watch(
        &self,
        by: Role,
        incarnation: Incarnation,
        applied: Position,
    ) -> Result<Rows, Error> {
        let follower = self.store.follower(incarnation).await?;
        let live = follower.filter(|follower| !follower.retiring);
        if live.ok_or(Error::UnknownIncarnation)?.role != by {
            return Err(Error::AnotherRole);
        }
        if self.store.epoch().await?.history != applied.history {
            return Err(Error::HistoryMismatch);
        }
        self.acknowledge(incarnation, applied);
        Ok(Rows { service: self.clone(), head: self.head.subscribe(), after: applied })
    }

    /// Notes an acknowledgement of a registered follower by its own role, for the other processes as well: any of
    /// them may wait for it.
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
