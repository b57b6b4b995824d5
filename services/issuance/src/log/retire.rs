//! Retiring followers that went silent.
//!
//! One that nobody answered for [`SILENCE`] is marked as retiring under the epoch's lock, and from
//! then on cannot renew. Changes go on counting it until a process that saw the mark committed has
//! waited 2 W on its own monotonic clock: by then its last lease is over, and it is removed.

use std::{collections::HashMap, time::Duration};

use keystile_domain::{Incarnation, Tick};

use crate::{Error, Service, store::FollowerRecord};

/// How long a follower may go unanswered.
const SILENCE: Duration = Duration::from_secs(10);

/// What one process knows of followers on their way out: when it first saw each mark.
#[derive(Default)]
pub(crate) struct Leaving(HashMap<Incarnation, Tick>);

impl Service {
    /// One round: records who was answered, marks who went silent, removes who is gone.
    pub(crate) async fn retire(&self, leaving: &mut Leaving) -> Result<(), Error> {
        let answered = self.take_answered();
        if !answered.is_empty()
            && let Err(error) = self.store.record_answered(&answered, self.now()).await
        {
            // Else those that renew would be taken for silent.
            self.note_answered(answered);
            return Err(error);
        }
        let since = self.now() - SILENCE;
        let mut followers = self.store.followers().await?;
        if followers.iter().any(|follower| !follower.retiring && follower.answered_at < since) {
            let mut tx = self.store.begin().await?;
            tx.lock_epoch().await?;
            tx.mark_retiring(since).await?;
            tx.commit().await?;
            followers = self.store.followers().await?;
        }
        self.barrier.keep(&followers);
        let marked: Vec<_> = followers.into_iter().filter(|follower| follower.retiring).collect();
        let now = self.clock.tick();
        leaving.0.retain(|id, _| marked.iter().any(|follower| follower.incarnation == *id));
        let over = |follower: &&FollowerRecord| {
            let since = *leaving.0.entry(follower.incarnation).or_insert(now);
            now >= since + self.terms.wait_for(follower.lease_ttl) * 2
        };
        let gone: Vec<_> = marked.iter().filter(over).map(|one| one.incarnation).collect();
        if !gone.is_empty() {
            self.remove_followers(&gone).await?;
        }
        Ok(())
    }

    /// Removes followers whose leases are over.
    pub(crate) async fn remove_followers(&self, gone: &[Incarnation]) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        tx.lock_epoch().await?;
        tx.remove_followers(gone).await?;
        tx.commit().await
    }
}
