//! The steps, and which of them are possible.

use stateright::{Model, Property};

use crate::{
    config::{Config, Guard, LONGEST, Rewind},
    database::Return,
    state::{Invariant, Kind, Line, Position, Registration, Stand, State},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes for everybody. A process that is paused takes no other step meanwhile.
    Tick,
    /// A change takes the epoch's lock and reads the followers.
    Begin(Kind),
    Commit,
    /// Issuance hears that the commit succeeded. Of a cut, the barrier begins.
    Heard,
    /// A cut is repeated: its followers are read again.
    Resume(u8),
    Return(u8),
    /// A process reads the unsettled history for the first time.
    Observe,
    Settle,
    MarkRetiring(u8),
    Remove(u8),
    CrashIssuance,
    Rewind(u8),
    OfNode(u8, Local),
}

/// Steps of one follower, and of issuance for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// Registers a new incarnation with this floor.
    Register(u8),
    /// The session breaks; lease and tombstones go with it.
    Break,
    Crash,
    /// The lease ends early: the clock is a faster one.
    Lapse,
    SendRenewal,
    /// Issuance reads the head and the tail, in one statement.
    ReadRenewal,
    /// The request or the answer is lost.
    LoseRenewal,
    ApplyTail,
    Extend,
    /// The next row arrives, as it is on this branch, and is applied and acknowledged.
    Push(u8),
    /// Only without the guard: the next row is acknowledged, and not applied.
    AcknowledgeEarly(u8),
    DropTombstone,
    Invoke,
    /// L1 has an entry, and there is a lease.
    HitL1,
    /// L2 is asked, or a look-up is joined, under a lease.
    StartFetch,
    /// L2, or a look-up that was joined, answers with what was read then.
    Fetch(Position),
    /// L2 answers with what somebody made up.
    Forge,
    /// The lease is asked before fetched facts are used.
    CheckLease,
    /// A look-up of its own.
    Ask,
    /// Issuance reads facts and head in one snapshot.
    ReadFacts,
    /// The tombstones are asked, and the verdict is given.
    Decide,
    /// Whoever asked is gone.
    Abandon,
}

pub(crate) struct Revocation<const NODES: usize>(pub(crate) Config);

impl<const NODES: usize> Model for Revocation<NODES> {
    type State = State<NODES>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<NODES>> {
        let mut state = State::new();
        if self.0.warm {
            state.head = 1;
            let head = state.head();
            for (number, node) in (0..).zip(&mut state.nodes) {
                let of = &mut state.incarnations[usize::from(number)];
                of.registration = Registration::Live;
                of.acknowledged = head;
                node.l1 = Some(head);
                node.line =
                    Some(Line { incarnation: number, applied: head, tombstone: 0, floor: 0 });
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State<NODES>, actions: &mut Vec<Action>) {
        let config = &self.0;
        if state.broken.is_some() {
            return;
        }
        actions.push(Action::Tick);
        for kind in [Kind::Other, Kind::Cut, Kind::Give] {
            if state.may_begin(config, kind) {
                actions.push(Action::Begin(kind));
            }
        }
        if state.open.is_some() {
            actions.push(Action::Commit);
        }
        if state.durable < state.head {
            actions.push(Action::Heard);
        }
        for row in 1..=state.head {
            if state.returns(config, row) != Return::NotYet {
                actions.push(Action::Return(row));
            }
            actions.push(Action::Resume(row));
        }
        if !state.settled {
            actions.push(Action::Observe);
            if state.observed == Some(config.wait()) {
                actions.push(Action::Settle);
            }
        }
        if config.retire && state.open.is_none() {
            for (number, of) in (0..).zip(&state.incarnations) {
                match of.registration {
                    Registration::Live => actions.push(Action::MarkRetiring(number)),
                    Registration::Retiring(waited) if waited == config.wait() => {
                        actions.push(Action::Remove(number));
                    }
                    _ => {}
                }
            }
        }
        if config.crash_issuance {
            actions.push(Action::CrashIssuance);
        }
        if config.rewind.is_some() && state.branch == 0 {
            actions.extend((state.durable..=state.head).map(Action::Rewind));
        }
        for number in 0..NODES {
            self.0.steps_of(state, number, actions);
        }
    }

    fn next_state(&self, last: &State<NODES>, action: Action) -> Option<State<NODES>> {
        let config = &self.0;
        let mut state = *last;
        match action {
            Action::Tick => state.tick(config),
            Action::Begin(kind) => {
                state.begin(config, kind);
                if !config.open_transactions {
                    state.commit(config);
                }
            }
            Action::Commit => state.commit(config),
            Action::Heard => state.heard(),
            Action::Resume(row) => state.resume(config, row),
            Action::Return(row) => state.return_cut(row),
            Action::Observe => state.observed = state.observed.or(Some(0)),
            Action::Settle => (state.settled, state.observed) = (true, None),
            Action::MarkRetiring(number) => state.mark_retiring(number),
            Action::Remove(number) => state.remove(number),
            Action::CrashIssuance => state.crash_issuance(config),
            Action::Rewind(to) => state.rewind(config, to),
            Action::OfNode(number, local) => state.step(config, usize::from(number), local),
        }
        state.tidy(config);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(Invariant::I1.name(), |_, state: &State<NODES>| {
                state.broken != Some(Invariant::I1)
            }),
            Property::always(Invariant::I2.name(), |_, state: &State<NODES>| {
                state.broken != Some(Invariant::I2)
            }),
            Property::always(Invariant::I4.name(), |_, state: &State<NODES>| {
                state.broken != Some(Invariant::I4)
            }),
            Property::always(Invariant::I6.name(), |_, state: &State<NODES>| {
                state.broken != Some(Invariant::I6)
            }),
        ];
        if self.0.without.is_none() {
            properties.push(Property::sometimes(
                "used what was read earlier",
                |_, state: &State<NODES>| {
                    state.nodes.iter().any(|node| matches!(node.verify.stand, Stand::Leased { .. }))
                },
            ));
            properties.push(Property::sometimes(
                "returned by acknowledgement",
                |model: &Self, state: &State<NODES>| {
                    state.some_returns(&model.0, Return::ByAcknowledgement)
                },
            ));
            properties.push(Property::sometimes(
                "returned by time",
                |model: &Self, state: &State<NODES>| state.some_returns(&model.0, Return::ByTime),
            ));
            if self.0.retire {
                properties.push(Property::sometimes(
                    "returned by retirement",
                    |model: &Self, state: &State<NODES>| {
                        state.some_returns(&model.0, Return::ByRetirement)
                    },
                ));
            }
        }
        properties
    }
}

impl<const NODES: usize> State<NODES> {
    fn tick(&mut self, config: &Config) {
        self.tick_issuance(config);
        for node in &mut self.nodes {
            node.lease = node.lease.saturating_sub(1);
            if let Some(renewal) = &mut node.renewal
                && config.guards(Guard::TimeFromSend)
            {
                renewal.age = (renewal.age + 1).min(LONGEST);
            }
            node.tidy();
        }
    }

    fn rewind(&mut self, config: &Config, to: u8) {
        let Some(rewind) = config.rewind else { return };
        self.rewind_log(to);
        match rewind {
            Rewind::Failover => self.settled = false,
            Rewind::Restore => {
                self.settled = false;
                self.forget_registrations();
            }
            Rewind::Copy => {
                self.crash_issuance(config);
                for node in &mut self.nodes {
                    node.renewal = None;
                }
            }
        }
    }
}
