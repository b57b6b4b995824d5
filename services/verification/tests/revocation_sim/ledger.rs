//! What happened, in one order, and whether it may have: the checker.
//!
//! Whether a question is to be allowed depends on facets: its key's team, the key's state, the token
//! that is shown, the component that is asked for. Each facet is given and cut in turn by one hand,
//! which makes no change before the one before it is known to be over. So an allow is wrong (I1) if
//! for one of its facets a cut had returned before it began and no later change that gives was begun
//! before it ended; a refusal is wrong (I4) if every facet was given, and its node made a renewal
//! between the return of the last of them and the beginning of the question, and no cut was begun.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keystile_contract::proto::common::v1::Receipt;
use keystile_domain::{KeyId, TeamId};

use crate::{
    clock::DRIFT_PPM,
    counts::{Counts, What},
    world::{LEASE, MARGIN},
};

/// Places in the one order.
pub(crate) type Moment = u64;

/// A facet, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facet(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    Cut,
    Give,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    sense: Sense,
    returned: Option<Moment>,
    at: tokio::time::Instant,
}

/// Who asks what of which node.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) node: usize,
    pub(crate) team: TeamId,
    pub(crate) key: KeyId,
    pub(crate) facets: Vec<Facet>,
    /// For who reads of a failure.
    pub(crate) what: String,
    pub(crate) begun: Moment,
    /// Had the node neither a lease nor an answer by then? Its answers until then.
    pub(crate) alone_since: Option<[u64; 2]>,
}

/// How it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed(TeamId, KeyId),
    Refused(&'static str),
    Unavailable,
}

#[derive(Debug, Default)]
struct Node {
    /// Renewals: when they were sent and when they were answered.
    renewals: Vec<(Moment, Moment)>,
    /// Look-ups that were answered.
    lookups: u64,
    renewed: u64,
}

#[derive(Debug, Default)]
struct State {
    last: Moment,
    facets: Vec<Vec<Change>>,
    nodes: Vec<Node>,
    failures: Vec<String>,
}

impl State {
    fn moment(&mut self) -> Moment {
        self.last += 1;
        self.last
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    counts: Counts,
    start: tokio::time::Instant,
}

fn now() -> tokio::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "true time of the simulation")]
    tokio::time::Instant::now()
}

impl Ledger {
    pub(crate) fn new(counts: Counts, nodes: usize) -> Self {
        let nodes = std::iter::repeat_with(Node::default).take(nodes).collect();
        let state = Mutex::new(State { nodes, ..State::default() });
        Self { state, counts, start: now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn moment(&self) -> Moment {
        self.state().moment()
    }

    /// A facet that nothing was said about.
    pub(crate) fn facet(&self) -> Facet {
        let mut state = self.state();
        state.facets.push(Vec::new());
        Facet(state.facets.len() - 1)
    }

    pub(crate) fn begin(&self, facet: Facet, sense: Sense) {
        let mut state = self.state();
        state.facets[facet.0].push(Change { sense, returned: None, at: now() });
    }

    /// The change of a facet that was begun last has returned.
    pub(crate) fn returned(&self, facet: Facet) {
        let mut state = self.state();
        let moment = state.moment();
        let change = state.facets[facet.0].last_mut().expect("begun");
        (change.returned, change.at) = (Some(moment), now());
        if change.sense == Sense::Give {
            self.counts.one(What::Give);
        }
    }

    /// A cut returned at its first attempt, at a process that nothing happened to (I3).
    pub(crate) fn timed(&self, receipt: Option<&Receipt>, operation: &str) {
        let elapsed = receipt.and_then(|receipt| receipt.elapsed);
        let Some(elapsed) = elapsed.and_then(|elapsed| Duration::try_from(elapsed).ok()) else {
            return;
        };
        self.counts.one(What::CutTimed);
        // W, and how far a timer of true time leads a clock that is fast astray.
        let most = (LEASE + LEASE * DRIFT_PPM / 1_000_000 + MARGIN) * 105 / 100;
        if elapsed > most {
            let text = format!("I3: {operation} took {} ms", elapsed.as_millis());
            self.state().failures.push(text);
        }
    }

    /// A renewal of a node was answered.
    pub(crate) fn renewed(&self, node: usize, sent: Moment) {
        let mut state = self.state();
        let moment = state.moment();
        state.nodes[node].renewals.push((sent, moment));
        state.nodes[node].renewed += 1;
    }

    pub(crate) fn looked_up(&self, node: usize) {
        self.state().nodes[node].lookups += 1;
    }

    /// A node begins anew, and with it its renewals.
    pub(crate) fn restarted(&self, node: usize) {
        self.state().nodes[node].renewals.clear();
    }

    /// What a node was answered by issuance so far.
    pub(crate) fn answers(&self, node: usize) -> [u64; 2] {
        let state = self.state();
        [state.nodes[node].lookups, state.nodes[node].renewed]
    }

    /// Judges an answer when it is given.
    pub(crate) fn answered(&self, asked: &Asked, verdict: &Verdict) {
        let mut state = self.state();
        let of = |facet: &Facet| &state.facets[facet.0];
        let cut = asked.facets.iter().find_map(|facet| cut_before(of(facet), asked.begun));
        let given = given_before(asked.facets.iter().map(of));
        let owed = given.is_some_and(|given| {
            let renewals = &state.nodes[asked.node].renewals;
            renewals.iter().any(|(sent, answered)| *sent > given && *answered < asked.begun)
        });
        let answers = [state.nodes[asked.node].lookups, state.nodes[asked.node].renewed];
        let alone = asked.alone_since == Some(answers);
        for (holds, what) in
            [(cut.is_some(), What::AfterCut), (owed, What::AfterGive), (alone, What::Alone)]
        {
            if holds {
                self.counts.one(what);
            }
        }
        let (what, wrong) = match verdict {
            Verdict::Allowed(team, key) => {
                let wrong = match cut {
                    Some(returned) => Some(format!("I1: allowed, cut at {}", self.at(returned))),
                    None if (*team, *key) != (asked.team, asked.key) => {
                        Some("I5: of another team or key".to_owned())
                    }
                    None if alone => Some("I6: neither lease nor issuance".to_owned()),
                    None => None,
                };
                (What::Allowed, wrong)
            }
            Verdict::Refused(why) => {
                (What::Refused, owed.then(|| format!("I4: refused as {why}, though given")))
            }
            Verdict::Unavailable => (What::Unavailable, None),
        };
        self.counts.one(what);
        if let Some(wrong) = wrong {
            let Asked { node, what, .. } = asked;
            let text = format!("{wrong}; {what} at verifier {node}, answered {}", self.at(now()));
            state.failures.push(text);
        }
    }

    fn at(&self, instant: tokio::time::Instant) -> String {
        format!("{} ms", instant.duration_since(self.start).as_millis())
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.state().failures.clone()
    }
}

/// When the cut returned that holds for a question begun at `begun`, if no change that gives was
/// begun after it.
fn cut_before(changes: &[Change], begun: Moment) -> Option<tokio::time::Instant> {
    let returned = |change: &&Change| change.returned.is_some_and(|returned| returned < begun);
    let after_last_give = changes.rsplit(|change| change.sense == Sense::Give).next()?;
    after_last_give.iter().find(returned).map(|cut| cut.at)
}

/// When the last of these facets was given, if all are and no cut was begun since.
fn given_before<'c>(facets: impl Iterator<Item = &'c Vec<Change>>) -> Option<Moment> {
    let mut last = 0;
    for changes in facets {
        let change = changes.last().filter(|change| change.sense == Sense::Give)?;
        last = last.max(change.returned?);
    }
    Some(last)
}
