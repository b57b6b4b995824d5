//! What a follower may do next.

use crate::{
    config::{Config, Guard},
    model::{Action, Local},
    state::{Renewal, State, Step},
};

impl Config {
    /// The steps that are possible at one follower.
    pub(crate) fn steps_of<const NODES: usize>(
        &self,
        state: &State<NODES>,
        number: usize,
        actions: &mut Vec<Action>,
    ) {
        let node = &state.nodes[number];
        let mut push =
            |local| actions.push(Action::OfNode(u8::try_from(number).unwrap_or(u8::MAX), local));
        if node.line.is_none() && state.may_register(self) {
            let highest = if self.floors { state.head } else { 0 };
            (0..=highest).for_each(|floor| push(Local::Register(floor)));
        }
        if self.crash_follower {
            push(Local::Crash);
        }
        if let Some(line) = node.line {
            if self.breaks {
                push(Local::Break);
            }
            if node.lease > 0 {
                push(Local::Lapse);
            }
            match node.renewal {
                None => push(Local::SendRenewal),
                Some(Renewal { step, .. }) => {
                    push(Local::LoseRenewal);
                    match step {
                        Step::Sent => push(Local::ReadRenewal),
                        Step::Read(_) if self.guards(Guard::ApplyBeforeExtend) => {
                            push(Local::ApplyTail);
                        }
                        Step::Read(_) | Step::Applied => push(Local::Extend),
                        Step::Extended(_) => push(Local::ApplyTail),
                    }
                }
            }
            if self.pushes {
                for branch in 0..=state.branch {
                    if line.applied.seq < state.end_of(branch) {
                        push(Local::Push(branch));
                        if !self.guards(Guard::AcknowledgeAfterApply) {
                            push(Local::AcknowledgeEarly(branch));
                        }
                    }
                }
            }
            if self.floors && line.tombstone > 0 {
                push(Local::DropTombstone);
            }
        }
        if self.all_verify || number == 0 {
            state.verify_steps(self, number, &mut push);
        }
    }
}
