//! The runs in which every guard holds.

use stateright::{Checker, Model};

use crate::{
    config::{Config, Rewind},
    model::Revocation,
};

/// Steps. A run that gets here was not exhaustive, and fails.
const CAP: usize = 400_000_000;

/// Visits every state that can be reached, or those within `depth` steps.
fn explore<const NODES: usize>(config: Config, depth: Option<usize>) {
    let builder = Revocation::<NODES>(config).checker().threads(1).target_state_count(CAP);
    let builder = match depth {
        Some(depth) => builder.target_max_depth(depth),
        None => builder,
    };
    let run = builder.spawn_bfs().join();
    let (states, steps) = (run.unique_state_count(), run.state_count());
    println!("{}: {states} states, {steps} steps, depth {}", config.name, run.max_depth());
    assert!(steps < CAP, "{}: stopped at the cap", config.name);
    run.assert_properties();
}

/// Loss, reordering, replay by Redis, pauses and drift are in every run: the network and Redis
/// answer with whatever was ever true or not at all, and time passes between any two steps.
const CRASHES: Config = Config {
    l2: true,
    crash_follower: true,
    crash_issuance: true,
    breaks: true,
    ..Config::new("with crashes")
};

#[test]
fn one_follower_holds_under_every_fault() {
    // Retirement is no fault, and is in the next two and in that of floors.
    explore::<1>(
        Config {
            name: "one follower, every fault",
            rows: [1, 1, 0],
            rewind: Some(Rewind::Failover),
            ..CRASHES
        },
        None,
    );
}

#[test]
fn one_follower_holds_under_two_cuts() {
    let name = "one follower, two cuts, every fault but failover, retirement";
    explore::<1>(Config { name, rows: [0, 2, 0], retire: true, ..CRASHES }, None);
}

#[test]
fn one_follower_holds_when_access_comes_and_goes() {
    let name = "one follower, a cut and a change that gives, every fault but failover, retirement";
    explore::<1>(Config { name, rows: [0, 1, 1], retire: true, ..CRASHES }, None);
}

#[test]
fn one_follower_holds_when_access_comes_and_goes_around_a_failover() {
    let name = "one follower, a cut and a change that gives, every fault";
    let rewind = Some(Rewind::Failover);
    explore::<1>(Config { name, rows: [0, 1, 1], rewind, ..CRASHES }, None);
}

#[test]
fn one_follower_holds_while_tombstones_go_and_transactions_are_open() {
    let name = "one follower, floors, open transactions, every fault but failover, retirement";
    let config = Config { retire: true, floors: true, open_transactions: true, ..CRASHES };
    explore::<1>(Config { name, rows: [0, 1, 0], ..config }, None);
}

// Of two followers one verifies: what the other does matters to it only as an acknowledgement that
// comes or not, since Redis may hold whatever any node may have put there. That it holds for the
// other as well is the same run with the names exchanged.

#[test]
fn two_followers_hold_when_they_crash_and_start_again() {
    let name = "two followers, crash of followers";
    let config = Config { l2: true, crash_follower: true, incarnations: 3, ..CRASHES };
    let config = Config { crash_issuance: false, breaks: false, all_verify: false, ..config };
    explore::<2>(Config { name, ..config }, None);
}

#[test]
fn two_followers_hold_while_they_are_retired() {
    // Without L2, which the run above has, to keep it small.
    let name = "two followers, retirement";
    let config = Config { retire: true, all_verify: false, ..Config::new(name) };
    explore::<2>(config, None);
}

#[test]
fn three_followers_hold_within_nine_steps() {
    let name = "three followers, every fault but failover, retirement";
    let config = Config { retire: true, incarnations: 4, warm: true, all_verify: false, ..CRASHES };
    explore::<3>(Config { name, ..config }, Some(9));
}

#[test]
#[ignore = "deep: tests/deep model"]
fn deep_one_follower_holds_under_every_fault_and_retirement() {
    let name = "one follower, every fault, retirement";
    let config = Config { retire: true, rewind: Some(Rewind::Failover), ..CRASHES };
    explore::<1>(Config { name, ..config }, None);
}

#[test]
#[ignore = "deep: tests/deep model"]
fn deep_one_follower_holds_through_two_restarts() {
    let name = "one follower, three incarnations, every fault but failover, retirement";
    explore::<1>(Config { name, retire: true, incarnations: 3, ..CRASHES }, None);
}

#[test]
#[ignore = "deep: tests/deep model"]
fn deep_two_followers_hold_when_both_verify() {
    explore::<2>(Config::new("two followers, both verify"), None);
}

#[test]
#[ignore = "deep: tests/deep model"]
fn deep_two_followers_hold_when_issuance_crashes() {
    let name = "two followers, crash of issuance, retirement";
    let config = Config { l2: true, retire: true, crash_issuance: true, ..Config::new(name) };
    explore::<2>(Config { all_verify: false, ..config }, None);
}

#[test]
#[ignore = "deep: tests/deep model"]
fn deep_three_followers_hold_within_eleven_steps() {
    let name = "three followers, every fault but failover, retirement, deeper";
    let config = Config { retire: true, incarnations: 4, warm: true, all_verify: false, ..CRASHES };
    explore::<3>(Config { name, ..config }, Some(11));
}
