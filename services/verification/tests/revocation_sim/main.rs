//! A simulation of strict revocation (design §6): the real code of issuance, follower and
//! verification, over rows in memory and a network, a Redis and clocks that a seed decides about.
//! The argument that it tests is `services/verification/REVOCATION.md`; the model beside it tests
//! the protocol, this tests the code.
//!
//! **Real**: `issuance::Service` (two processes on one database) and `verification::Service` (three)
//! with `run()` going in each, over the generated clients and servers.
//! **Doubles**, at the ports: transports (`net.rs`), the store over `MemoryStore` (`store.rs`), L2
//! (`l2.rs`), clocks of their own rate and offset (`clock.rs`), randomness.
//! **Time** is tokio's, paused: it jumps from timer to timer.
//!
//! A seed decides about the plan, the faults, the workload and the clocks. Which branch tokio's
//! `select!` polls first at one instant it does not: so a repeat of a seed soon differs in the order
//! of what is simultaneous, and a failure is run again by running its seed many times:
//! `KEYSTILE_SIM_SEED=7 cargo test --workspace --test revocation_sim -- --ignored --nocapture one_seed`.

mod chaos;
mod clock;
mod counts;
mod hands;
mod l2;
mod ledger;
mod net;
mod plan;
mod process;
mod proxy;
mod rng;
mod runs;
mod store;
mod twins;
mod world;
