//! Verify: one question at a node, and whether its answer was right.

use crate::{
    config::{Config, Guard},
    model::Local,
    state::{Invariant, Position, Stand, State},
};

impl<const NODES: usize> State<NODES> {
    /// Is there a lease by the clock as it was read when Verify was invoked? The code reads it
    /// later, which finds a lease less often.
    fn has_lease(&self, number: usize) -> bool {
        self.nodes[number].line.is_some() && self.nodes[number].verify.leased
    }

    pub(crate) fn verify_steps(
        &self,
        config: &Config,
        number: usize,
        push: &mut impl FnMut(Local),
    ) {
        let node = &self.nodes[number];
        let may_use_kept = self.has_lease(number) || !config.guards(Guard::LeaseCheck);
        if node.verify.stand != Stand::Idle {
            push(Local::Abandon);
        }
        match node.verify.stand {
            Stand::Idle => push(Local::Invoke),
            Stand::Invoked => {
                if node.l1.is_some() && may_use_kept {
                    push(Local::HitL1);
                }
                if config.lookups {
                    push(Local::Ask);
                }
                if config.l2 && may_use_kept {
                    push(Local::StartFetch);
                }
            }
            Stand::Fetching => {
                self.ever().for_each(|as_of| push(Local::Fetch(as_of)));
                if !config.guards(Guard::Seal) {
                    push(Local::Forge);
                }
            }
            Stand::Fetched { .. } => {
                if self.has_lease(number) {
                    push(Local::CheckLease);
                }
                if !config.guards(Guard::LeaseCheckAtUse) {
                    push(Local::Decide);
                }
            }
            Stand::Asked => push(Local::ReadFacts),
            Stand::Leased { .. } | Stand::Answered(_) => push(Local::Decide),
        }
    }

    pub(crate) fn verify_step(&mut self, config: &Config, number: usize, local: Local) {
        let (head, cut) = (self.head(), self.last_returned_cut());
        let node = &mut self.nodes[number];
        let verify = &mut node.verify;
        match local {
            Local::Invoke => {
                verify.stand = Stand::Invoked;
                verify.leased = node.lease > 0;
                verify.cut = cut;
                verify.given = node.given;
            }
            Local::HitL1 => {
                if let Some(as_of) = node.l1 {
                    (verify.had_lease, verify.leased) = (verify.leased, false);
                    verify.stand = Stand::Leased { as_of, forged: false };
                }
            }
            Local::StartFetch => {
                verify.had_lease = verify.leased;
                verify.stand = Stand::Fetching;
            }
            Local::Fetch(as_of) => {
                if node.keep(config, as_of) {
                    node.verify.stand = Stand::Fetched { as_of, forged: false };
                }
            }
            Local::Forge => verify.stand = Stand::Fetched { as_of: head, forged: true },
            Local::CheckLease => {
                if let Stand::Fetched { as_of, forged } = verify.stand {
                    verify.leased = false;
                    verify.stand = Stand::Leased { as_of, forged };
                    if !config.guards(Guard::FillRule) {
                        self.answer(number, as_of, forged, true);
                    }
                }
            }
            Local::Ask => (verify.stand, verify.leased) = (Stand::Asked, false),
            Local::ReadFacts => verify.stand = Stand::Answered(head),
            Local::Decide => match verify.stand {
                Stand::Answered(as_of) => {
                    if node.keep(config, as_of) {
                        self.answer(number, as_of, false, false);
                    } else {
                        node.end_verify();
                    }
                }
                Stand::Leased { as_of, forged } | Stand::Fetched { as_of, forged } => {
                    if node.admits(config, as_of) {
                        self.answer(number, as_of, forged, true);
                    } else {
                        if node.l1 == Some(as_of) {
                            node.l1 = None;
                        }
                        node.end_verify();
                    }
                }
                Stand::Idle | Stand::Invoked | Stand::Fetching | Stand::Asked => {}
            },
            _ => node.end_verify(),
        }
    }

    /// The verdict by the facts as of `as_of`, and what it breaks. `kept`: they were read earlier.
    fn answer(&mut self, number: usize, as_of: Position, forged: bool, kept: bool) {
        let node = self.nodes[number];
        let verify = node.verify;
        let cut_known = |at: Position| verify.cut.seq == 0 || self.holds(at, verify.cut);
        let allowed = forged || self.works(as_of);
        let applied = node.line.is_some_and(|line| cut_known(line.applied));
        self.broken = if allowed && !(cut_known(as_of) && self.works(as_of)) && verify.cut.seq > 0 {
            Some(Invariant::I1)
        } else if kept && !applied && verify.cut.seq > 0 {
            Some(Invariant::I2)
        } else if !allowed && verify.given.seq > 0 && !self.holds(as_of, verify.given) {
            Some(Invariant::I4)
        } else if allowed && kept && !verify.had_lease {
            Some(Invariant::I6)
        } else {
            None
        };
        self.nodes[number].end_verify();
    }
}
