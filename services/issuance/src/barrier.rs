//! The barrier: when is every follower of a cut accounted for? Design §6.3.
//!
//! A follower is accounted for when it acknowledged the cut, or when W has passed since the cut was
//! committed and its lease has run out with it: the W of the L that it was given when it
//! registered, which may be another process's, or an earlier one's. In a history that is not
//! settled nothing is, until W has passed since this process first read it: followers of the old
//! primary may hold leases that this log knows nothing of.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use keystile_domain::{
    Clock, Incarnation, Position, Tick,
    log::{History, Receipt},
};
use tokio::sync::watch;

use crate::{
    lease::Terms,
    store::{Epoch, FollowerRecord},
};

/// Commit instants that are remembered, so that a resumed cut counts W from its commit. A cut
/// older than these counts from when it is resumed, which is late and therefore safe.
const REMEMBERED: usize = 1024;

/// A committed change and those it waits for.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Its row.
    pub(crate) position: Position,
    /// The followers that were registered when it was committed.
    pub(crate) followers: Vec<FollowerRecord>,
    /// An instant at or after its commit.
    pub(crate) since: Tick,
}

/// The acknowledgements that this process heard.
pub(crate) struct Barrier {
    clock: Arc<dyn Clock>,
    terms: Terms,
    state: Mutex<State>,
    /// Counts changes of `state`.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    applied: HashMap<Incarnation, Position>,
    committed: VecDeque<(Position, Tick)>,
    unsettled: Option<(History, Tick)>,
}

impl Barrier {
    pub(crate) fn new(clock: Arc<dyn Clock>, terms: Terms) -> Self {
        Self { clock, terms, state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a registered follower applied everything up to `position`. Never takes back. Is it
    /// news?
    pub(crate) fn acknowledge(&self, incarnation: Incarnation, position: Position) -> bool {
        let news = self.with(|state| {
            let known = state.applied.get(&incarnation);
            let news = known.is_none_or(|known| !known.reaches(&position));
            if news {
                state.applied.insert(incarnation, position);
            }
            news
        });
        if news {
            self.changed.send_modify(|count| *count += 1);
        }
        news
    }

    /// Forgets all followers but these, who are registered.
    pub(crate) fn keep(&self, registered: &[FollowerRecord]) {
        let registered: HashSet<_> = registered.iter().map(|one| one.incarnation).collect();
        self.with(|state| state.applied.retain(|id, _| registered.contains(id)));
    }

    /// Forgets rows beyond the head, which was read under the epoch's lock: a copy of the database
    /// that lacks them was put back, and their numbers go to other rows.
    pub(crate) fn forget_lost(&self, head: &Position) {
        let there = |at: &Position| at.history != head.history || head.reaches(at);
        self.with(|state| {
            state.applied.retain(|_, at| there(at));
            state.committed.retain(|(at, _)| there(at));
        });
    }

    /// Notes that the row at `position` is committed, and returns an instant at or after its commit.
    pub(crate) fn committed(&self, position: Position) -> Tick {
        let now = self.clock.tick();
        self.with(|state| {
            state.committed.push_back((position, now));
            if state.committed.len() > REMEMBERED {
                state.committed.pop_front();
            }
        });
        now
    }

    /// An instant at or after the commit of the row at `position`, which was not committed just now.
    pub(crate) fn committed_before(&self, position: &Position) -> Tick {
        let now = self.clock.tick();
        self.with(|state| {
            // The commit of a later row came later still; concurrent notes may be out of order.
            state.committed.iter().filter(|(of, _)| of.reaches(position)).map(|(_, at)| *at).min()
        })
        .unwrap_or(now)
    }

    /// Notes the history that was read. Until W has passed since an unsettled one was first seen,
    /// no cut of it is over.
    pub(crate) fn observe(&self, epoch: &Epoch) {
        if epoch.settled == epoch.history {
            return;
        }
        let now = self.clock.tick();
        self.with(|state| match state.unsettled {
            Some((history, _)) if history == epoch.history => {}
            _ => state.unsettled = Some((epoch.history, now)),
        });
    }

    /// The history that was unsettled and whose W has passed, if there is one.
    pub(crate) fn ripe(&self) -> Option<History> {
        let (history, since) = self.with(|state| state.unsettled)?;
        (self.clock.tick() >= since + self.terms.wait()).then_some(history)
    }

    /// Waits until every follower of a change is accounted for.
    pub(crate) async fn wait(&self, change: &Waiting) -> Receipt {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let (missing, over, held_until) = self.with(|state| {
                let reached = |follower: &&FollowerRecord| {
                    let applied = state.applied.get(&follower.incarnation);
                    applied.is_some_and(|at| at.reaches(&change.position))
                };
                let missing = change.followers.iter().filter(|one| !reached(one));
                let longest = missing.clone().map(|one| one.lease_ttl).max();
                (
                    missing.count(),
                    longest.map(|lease_ttl| change.since + self.terms.wait_for(lease_ttl)),
                    // Of whichever history: one that is seen while another still holds, holds on.
                    state.unsettled.map(|(_, since)| since + self.terms.wait()),
                )
            });
            let acknowledged = change.followers.len() - missing;
            let now = self.clock.tick();
            let Some(end) = over.max(held_until).filter(|end| now < *end) else {
                return Receipt {
                    seq: change.position.seq,
                    acknowledged: u32::try_from(acknowledged).unwrap_or(u32::MAX),
                    waited_out: u32::try_from(missing).unwrap_or(u32::MAX),
                    elapsed: now.since(change.since),
                };
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(end.since(now)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use keystile_domain::log::Nonce;
    use keystile_testkit::MockClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_history_holds_its_cuts_for_w_whatever_follows_it() {
        let (clock, terms) = (MockClock::default(), Terms::default());
        let barrier = Barrier::new(Arc::new(clock.clone()), terms);
        let history = |database| History { database: [database; 16], timeline: 1 };
        let unsettled = |database| Epoch {
            history: history(database),
            head: 1,
            nonce: Nonce([0; 16]),
            settled: history(1),
        };
        // Restored, without the registrations of followers that hold leases.
        barrier.observe(&unsettled(2));
        let position = Position { history: history(2), seq: 1 };
        let cut = Waiting { position, followers: Vec::new(), since: clock.tick() };
        assert!(barrier.wait(&cut).now_or_never().is_none());
        // Failed over, moments later.
        barrier.observe(&unsettled(3));
        assert!(barrier.wait(&cut).now_or_never().is_none(), "those leases are not over");
        clock.advance(terms.wait());
        assert!(barrier.wait(&cut).now_or_never().is_some());
    }
}
