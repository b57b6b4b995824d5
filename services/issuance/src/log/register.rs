//! Registering a follower.

use keystile_domain::{
    Incarnation, Position, Role,
    log::{LogRow, Nonce},
};

use crate::{
    Error, Service,
    store::{CACHE_LIFETIME, FollowerRecord},
};

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
    /// The rows after the floor, or after the point to resume from.
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
        let floor = tx.floor(now - CACHE_LIFETIME).await?;
        let head = epoch.position();
        // No row is ever removed, so the log reaches back to any point of this history.
        let resumed = new.resume_from.is_none_or(|point| head.reaches(&point));
        let after = new.resume_from.filter(|_| resumed).map_or(floor, |point| point.seq);
        let rows = tx.log_after(after).await?;
        tx.commit().await?;
        Ok(Registered { head, head_nonce: epoch.nonce, floor, rows, resumed })
    }
}
