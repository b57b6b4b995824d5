//! A model of strict revocation (design §6), every reachable state of which is visited. The
//! argument that it checks is `services/verification/REVOCATION.md`.
//!
//! **Modelled**, each as steps of its own between which anything else may happen: a change that
//! takes the epoch's lock, commits, is heard of by its coordinator, and its barrier (`database.rs`);
//! registration; a renewal whose t0 is noted, which issuance reads, whose tail is applied, and by
//! which the lease is extended; rows that are pushed, applied and acknowledged; retirement; a new
//! history and its settlement (`follower.rs`); a Verify that is invoked, looks into L1 or L2, joins
//! a look-up or makes its own, asks for the lease, asks the tombstones and answers (`verify.rs`).
//! Answers are judged when they are given, by what had returned when Verify was invoked.
//!
//! **Faults.** The network and Redis are adversaries without memory: a row of the log may arrive at
//! any time after its commit or never, an acknowledgement that was sent may be counted at any later
//! time or never, and a read of L2 gives nothing, or facts as of any point at which anybody may ever
//! have read the database. That is loss, delay, reordering, repetition, and a Redis that is emptied
//! or replays. A pause of a process is time that passes between two of its steps, which it may
//! anywhere. Crashes of followers and issuance, sessions that break, and a database that goes on
//! from an earlier row are steps.
//!
//! **Left out, and why that is sound.**
//! - One key with one scope: tombstones of different scopes do not meet, and rows about other
//!   scopes are modelled as such.
//! - Facts are the point at which they were read: what a verdict depends on follows from it.
//! - A look-up that was joined is a read of L2: both give what was read at some earlier time, and
//!   the same checks are made of both. Argon2, admission and negative entries change what is
//!   answered, never on the strength of which facts; `follower/src/lib.rs` admits those alike.
//! - The clock of a Verify is read when it is invoked. The code reads it later, by which a lease is
//!   current less often.
//! - A follower's clock is the slowest that rho admits, so that its leases are as long as they can
//!   be; any may end sooner (`Lapse`). Only the ratio of the two clocks matters.
//! - Vault and triggers ask the same `admit` of a capability that Verify asks of an entry: a
//!   capability is an entry in somebody else's hands, as one in L2 is.
//! - One process of issuance. What a second adds is that acknowledgements reach it later, which is
//!   modelled, and that it remembers less, which is a crash.
//! - Before a retired follower is removed, W passes in the model and 2 W in the code. W is shown to
//!   be enough.
//! - Bounds: three rows, four incarnations, one rewind; each run names its own (`runs.rs`).

mod config;
mod database;
mod follower;
mod model;
mod runs;
mod state;
mod steps;
mod tidy;
mod twins;
mod verify;
