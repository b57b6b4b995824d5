//! For each guard the smallest configuration in which its absence is a counterexample, and in which
//! nothing else is: with the guard, every invariant holds there.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    config::{Config, Guard, Rewind},
    model::Revocation,
    state::Invariant,
};

fn shown_by(guard: Guard) -> Config {
    let plain = Config::new("of a twin");
    match guard {
        Guard::Wait
        | Guard::TimeFromSend
        | Guard::ApplyBeforeExtend
        | Guard::DriftMargin
        | Guard::LeaseCheck
        | Guard::AcknowledgeAfterApply => plain,
        Guard::Tombstone | Guard::FillRule | Guard::Seal => Config { l2: true, ..plain },
        Guard::Floor => Config { floors: true, l2: true, ..plain },
        Guard::RegisterUnderLock => Config { open_transactions: true, ..plain },
        // The tombstones go while L2 is asked.
        Guard::LeaseCheckAtUse => Config { l2: true, breaks: true, ..plain },
        Guard::RetireThenCount => Config { retire: true, ..plain },
        // The lost row and the cut have one number and one history id. No look-ups: what they
        // return carries no nonce, so a fork under one history id is beyond it (REVOCATION.md).
        Guard::Nonce => Config { warm: true, lookups: false, rewind: Some(Rewind::Copy), ..plain },
        // The lost row and the cut have one number.
        Guard::History => {
            let rewind = Some(Rewind::Failover);
            Config { rows: [1, 1, 0], l2: true, pushes: false, incarnations: 1, rewind, ..plain }
        }
        Guard::Settle => Config { rewind: Some(Rewind::Restore), ..plain },
    }
}

/// The steps to a state that breaks the invariant, and how many states it took to find it.
fn counterexample(config: Config, invariant: Invariant) -> (Option<usize>, usize) {
    let name = invariant.name();
    let run = Revocation::<1>(config)
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([name])))
        .spawn_bfs()
        .join();
    let steps = run.discovery(name).map(|path| path.into_actions().len());
    (steps, run.unique_state_count())
}

#[test]
fn without_any_one_guard_a_cut_that_returned_is_allowed() {
    let mut caught = Vec::new();
    for guard in Guard::ALL {
        let config = Config { without: Some(guard), ..shown_by(guard) };
        let (steps, states) = counterexample(config, Invariant::I1);
        if let Some(steps) = steps {
            println!("without {guard:?}: I1 fails after {steps} steps, {states} states");
            caught.push(guard);
        } else {
            println!("without {guard:?}: no counterexample in {states} states");
        }
    }
    println!("guards listed: {}, twins caught: {}", Guard::ALL.len(), caught.len());
    assert_eq!(caught, Guard::ALL);
}

#[test]
fn what_shows_a_guard_holds_with_it() {
    for guard in Guard::ALL {
        let run = Revocation::<1>(shown_by(guard)).checker().threads(1).spawn_bfs().join();
        println!("with {guard:?}: {} states", run.unique_state_count());
        for invariant in Invariant::ALL {
            run.assert_no_discovery(invariant.name());
        }
    }
}

#[test]
fn the_other_invariants_can_fail_too() {
    let plain = Config::new("of an invariant");
    for (invariant, without, config) in [
        (Invariant::I2, Guard::LeaseCheck, plain),
        (Invariant::I4, Guard::Tombstone, Config { rows: [0, 1, 1], l2: true, ..plain }),
        (Invariant::I6, Guard::LeaseCheck, plain),
    ] {
        let config = Config { without: Some(without), ..config };
        let (steps, states) = counterexample(config, invariant);
        println!("without {without:?}: {invariant:?} fails after {steps:?} steps, {states} states");
        assert!(steps.is_some(), "{invariant:?}");
    }
}
