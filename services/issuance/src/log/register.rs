//! Registering a follower.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{LogRow, Nonce},
};

use crate::{
    Error, Service,
    store::{CACHE_LIFETIME, FollowerRecord},
};

/// The most rows that one registration is answered with, under the epoch's lock and in one message.
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
    pub resume_from: Option<Position>,
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
    /// False if the log does not reach back to that point.
    pub resumed: bool,
}

impl Service {
    /// Registers one incarnation, durably and once, under the epoch's lock: a change either sees
    /// it, and waits for it, or is in the rows that it begins with.
    ///
    /// # Errors
    /// [`Error::IncarnationExists`] if it registered before.
    #[tracing::instrument(name = "issuance.register", skip_all, fields(role = %new.role))]
    pub async fn register(&self, new: Registration) -> Result<Registered, Error> {
        let now = self.now();
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        tx.insert_follower(&FollowerRecord {
            incarnation: new.incarnation,
            role: new.role,
            since: epoch.head,
            answered_at: now,
            retiring: false,
        })
        .await?;
        let head = epoch.position();
        let Beginning { floor, after, resumed } =
            beginning(&head, tx.floor(now - CACHE_LIFETIME).await?, new.resume_from);
        let rows = tx.log_after(after).await?;
        tx.commit().await?;
        Ok(Registered { head, head_nonce: epoch.nonce, floor, rows, resumed })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Beginning {
    floor: u64,
    /// The rows after this one are returned.
    after: u64,
    resumed: bool,
}

/// Where a follower begins, given the floor by age.
fn beginning(head: &Position, floor: u64, resume_from: Option<Position>) -> Beginning {
    let furthest = head.seq.saturating_sub(MOST_ROWS);
    let floor = floor.max(furthest);
    // No row is ever removed, so the log reaches back to any other point of this history.
    let point = resume_from.filter(|point| head.reaches(point) && point.seq >= furthest);
    Beginning {
        floor,
        after: point.map_or(floor, |point| point.seq),
        resumed: resume_from.is_none() || point.is_some(),
    }
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
        for (floor, from, after, resumed) in [
            (0, None, 10, true),
            (20, None, 20, true),
            (20, Some(10), 10, true),
            (20, Some(9), 20, false),
            (0, Some(9), 10, false),
        ] {
            let begun = beginning(&head, floor, from.map(at));
            let expected = Beginning { floor: floor.max(10), after, resumed };
            assert_eq!(begun, expected, "{floor} {from:?}");
        }
    }
}
