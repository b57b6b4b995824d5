//! Registering a follower.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{Applied, LogRow, Nonce},
};

use super::renew::continues;
use crate::{
    Error, Service,
    store::{CACHE_LIFETIME, FollowerRecord},
};

/// The most rows that one registration is answered with, in one message.
/// Whoever is further behind begins at a floor that is raised to this, as after an hour.
const MOST_ROWS: u64 = 100_000;

/// Who registers.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// One run of a process.
    pub incarnation: Incarnation,
    /// What it is.
    pub role: Role,
    /// Where a follower that stored its point begins.
    pub resume_from: Option<Applied>,
}

/// Where the follower begins.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The head of the log.
    pub head: Position,
    /// The head's mark.
    pub head_nonce: Nonce,
    /// F: cached facts from before it count as missing.
    pub floor: u64,
    /// The rows after the floor, or after the point to resume from; at most [`MOST_ROWS`].
    pub rows: Vec<LogRow>,
    /// False if the log does not reach back to that very row.
    pub resumed: bool,
}

impl Service {
    /// Registers one incarnation, durably and once, under the epoch's lock: a change either sees
    /// it, and waits for it, or is in the rows that it begins with.
    ///
    /// # Errors
    /// [`Error::IncarnationExists`] if it registered before; [`Error::HistoryMismatch`] if the database
    /// went over into another history meanwhile.
    #[tracing::instrument(name = "issuance.register", skip_all, fields(role = %new.role))]
    pub async fn register(&self, new: Registration) -> Result<Registered, Error> {
        let now = self.now();
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        tx.insert_follower(&FollowerRecord {
            incarnation: new.incarnation,
            role: new.role,
            since: epoch.head,
            lease_ttl: self.terms.lease_ttl,
            answered_at: now,
            retiring: false,
            local: self.config.embedded,
        })
        .await?;
        let head = epoch.position();
        let furthest = furthest(&head);
        let floor = tx.floor(now - CACHE_LIFETIME).await?.max(furthest);
        tx.commit().await?;
        // Without the lock, for which cuts wait: what is up to the head does not change.
        let mut since_point = None;
        if let Some(point) = new.resume_from
            && reaches_back(&head, furthest, &point.position)
        {
            let rows = self.log_between(point.position.seq, &head).await?;
            since_point = Some(rows).filter(|rows| continues(&epoch, rows, &point));
        }
        let resumed = new.resume_from.is_none() || since_point.is_some();
        let rows = match since_point {
            Some(rows) => rows,
            None => self.log_between(floor, &head).await?,
        };
        Ok(Registered { head, head_nonce: epoch.nonce, floor, rows, resumed })
    }

    /// The rows after `after` up to `head`.
    async fn log_between(&self, after: u64, head: &Position) -> Result<Vec<LogRow>, Error> {
        let (history, rows) = self.store.log_after(after, head.seq - after).await?;
        if history == head.history { Ok(rows) } else { Err(Error::HistoryMismatch) }
    }
}

/// The lowest point that anybody begins at.
const fn furthest(head: &Position) -> u64 {
    head.seq.saturating_sub(MOST_ROWS)
}

/// No row is ever removed, so the log reaches back to any other point of this history.
fn reaches_back(head: &Position, furthest: u64, point: &Position) -> bool {
    head.reaches(point) && point.seq >= furthest
}

#[cfg(test)]
mod tests {
    use keystile_domain::log::History;

    use super::*;

    fn at(seq: u64) -> Position {
        Position { history: History { database: [1; 16], timeline: 0 }, seq }
    }

    #[test]
    fn nobody_is_told_more_rows_than_the_most() {
        let head = at(MOST_ROWS + 10);
        assert_eq!(furthest(&head), 10);
        assert!(reaches_back(&head, 10, &at(10)));
        assert!(!reaches_back(&head, 10, &at(9)), "one row more");
        assert!(reaches_back(&head, 10, &head));
        assert!(!reaches_back(&head, 10, &at(MOST_ROWS + 11)), "ahead of the log");
        assert_eq!(furthest(&at(MOST_ROWS)), 0);
    }
}
