//! A follower: registers, renews, applies, acknowledges.

use crate::{
    config::{Config, Guard, LONGEST, Rewind},
    model::Local,
    state::{Kind, Line, Node, Position, Registration, Renewal, Stand, State, Step, Verify},
};

impl Node {
    /// Forgets what nobody can tell from its absence.
    pub(crate) fn tidy(&mut self) {
        // A Verify that was invoked before the renewal ran out may have read its clock before, too.
        if self.verify.stand == Stand::Idle && self.renewal.is_some_and(|at| at.age == LONGEST) {
            self.renewal = None;
        }
    }

    pub(crate) fn end_verify(&mut self) {
        self.verify = Verify::default();
        self.tidy();
    }

    fn drop_line(&mut self) {
        self.line = None;
        self.lease = 0;
        self.renewal = None;
        self.verify.leased = false;
        if matches!(self.verify.stand, Stand::Leased { .. }) {
            // It holds on to the line that it found, so it answers as if it had done so before.
            self.end_verify();
        }
    }

    /// The tombstone rule.
    pub(crate) fn admits(&self, config: &Config, as_of: Position) -> bool {
        self.line.is_none_or(|line| {
            config.history(as_of.branch) == config.history(line.applied.branch)
                && as_of.seq >= line.tombstone.max(line.floor)
        })
    }

    /// Keeps an entry in L1 unless a cut has overtaken it.
    pub(crate) fn keep(&mut self, config: &Config, as_of: Position) -> bool {
        let kept = !config.guards(Guard::FillRule) || self.admits(config, as_of);
        if kept {
            self.l1 = Some(as_of);
        }
        kept
    }
}

impl<const NODES: usize> State<NODES> {
    pub(crate) fn step(&mut self, config: &Config, number: usize, local: Local) {
        match local {
            Local::Register(floor) => self.register(config, number, floor),
            Local::Break => self.nodes[number].drop_line(),
            Local::Crash => self.nodes[number] = Node::default(),
            Local::Lapse => {
                let node = &mut self.nodes[number];
                node.lease = 0;
                node.verify.leased = false;
            }
            Local::SendRenewal => {
                let given = self.last_given();
                self.nodes[number].renewal = Some(Renewal { step: Step::Sent, age: 0, given });
            }
            Local::ReadRenewal => self.read_renewal(number),
            Local::LoseRenewal => self.nodes[number].renewal = None,
            Local::ApplyTail => self.apply_tail(config, number),
            Local::Extend => self.extend(config, number),
            Local::Push(branch) => self.push(config, number, branch),
            Local::AcknowledgeEarly(branch) => {
                if let Some(line) = self.nodes[number].line {
                    let next = Position { branch, seq: line.applied.seq + 1 };
                    self.incarnations[usize::from(line.incarnation)].acknowledged = next;
                }
            }
            Local::DropTombstone => {
                if let Some(line) = &mut self.nodes[number].line {
                    if config.guards(Guard::Floor) {
                        line.floor = line.floor.max(line.tombstone);
                    }
                    line.tombstone = 0;
                }
            }
            _ => self.verify_step(config, number, local),
        }
    }

    fn register(&mut self, config: &Config, number: usize, floor: u8) {
        let Some(incarnation) = self.insert_follower() else { return };
        let applied = self.head();
        let node = &mut self.nodes[number];
        if config.rewind == Some(Rewind::Copy) {
            // Elsewhere nothing rests on that L1 is emptied, and what was on its way may fill it
            // right after. Here it does: entries carry no nonce.
            node.l1 = None;
        }
        node.line = Some(Line {
            incarnation,
            applied,
            tombstone: 0,
            floor: if config.guards(Guard::Floor) { floor } else { 0 },
        });
        for seq in floor + 1..=applied.seq {
            self.install(config, number, Position { seq, ..applied });
        }
    }

    fn install(&mut self, config: &Config, number: usize, row: Position) {
        if self.kind(row) == Kind::Other {
            return;
        }
        let node = &mut self.nodes[number];
        if !config.guards(Guard::Tombstone) {
            node.l1 = None;
        } else if let Some(line) = &mut node.line {
            line.tombstone = row.seq;
        }
    }

    fn read_renewal(&mut self, number: usize) {
        let head = self.head();
        let node = &mut self.nodes[number];
        let (Some(line), Some(renewal)) = (node.line, &mut node.renewal) else { return };
        let of = self.incarnations[usize::from(line.incarnation)];
        if of.registration == Registration::Live {
            renewal.step = Step::Read(head);
        }
    }

    /// Do rows of `branch` continue what is applied?
    fn continues(&self, config: &Config, applied: Position, branch: u8) -> bool {
        config.history(branch) == config.history(applied.branch)
            && (!config.guards(Guard::Nonce)
                || self.same_row(applied, Position { branch, ..applied }))
    }

    fn apply_tail(&mut self, config: &Config, number: usize) {
        let Node { line: Some(line), renewal: Some(renewal), .. } = self.nodes[number] else {
            return;
        };
        let (Step::Read(to) | Step::Extended(to)) = renewal.step else { return };
        // A head below what was pushed since says nothing about it.
        let same_history = config.history(to.branch) == config.history(line.applied.branch);
        if !same_history
            || to.seq >= line.applied.seq && !self.continues(config, line.applied, to.branch)
        {
            self.nodes[number].drop_line();
            return;
        }
        for seq in line.applied.seq + 1..=to.seq {
            self.apply(config, number, Position { seq, ..to });
        }
        self.nodes[number].renewal = match renewal.step {
            Step::Read(_) => Some(Renewal { step: Step::Applied, ..renewal }),
            _ => None,
        };
    }

    fn extend(&mut self, config: &Config, number: usize) {
        let node = &mut self.nodes[number];
        let Some(renewal) = node.renewal else { return };
        node.lease = node.lease.max(LONGEST - renewal.age);
        node.given = renewal.given;
        node.renewal = match renewal.step {
            Step::Read(to) if !config.guards(Guard::ApplyBeforeExtend) => {
                Some(Renewal { step: Step::Extended(to), ..renewal })
            }
            _ => None,
        };
        node.verify.leased = node.verify.asks_for_lease();
    }

    fn push(&mut self, config: &Config, number: usize, branch: u8) {
        let Some(line) = self.nodes[number].line else { return };
        if self.continues(config, line.applied, branch) {
            self.apply(config, number, Position { branch, seq: line.applied.seq + 1 });
        }
    }

    fn apply(&mut self, config: &Config, number: usize, row: Position) {
        self.install(config, number, row);
        if let Some(line) = &mut self.nodes[number].line {
            line.applied = row;
            self.incarnations[usize::from(line.incarnation)].acknowledged = row;
        }
    }
}
