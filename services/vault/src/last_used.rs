//! When connections were last used: noted in memory by each call, written together every second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keystile_domain::{ConnectionId, TeamId};
use time::OffsetDateTime;

use crate::store::{Error, Store};

/// How often the notes are written.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The latest use of each connection since the last write. A crash loses at most one interval.
#[derive(Default)]
pub(crate) struct LastUsed(Mutex<HashMap<(TeamId, ConnectionId), OffsetDateTime>>);

impl LastUsed {
    pub(crate) fn note(&self, team: TeamId, connection: ConnectionId, at: OffsetDateTime) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((team, connection))
            .and_modify(|known| *known = (*known).max(at))
            .or_insert(at);
    }

    /// Writes all notes. What could not be written is dropped: the next call notes it again.
    pub(crate) async fn flush(&self, store: &dyn Store) -> Result<(), Error> {
        let notes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for ((team, connection), at) in notes {
            store.touch(team, connection, at).await?;
        }
        Ok(())
    }
}
