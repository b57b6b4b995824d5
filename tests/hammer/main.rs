//! Strict revocation, hammered: real processes, real servers, real faults.
//!
//! Every other claim about revocation is shown on a model or a simulation. Here nothing is
//! simulated, and little can be repeated: what is counted is how much was tried.

mod cutter;
mod faults;
mod flushall;
mod ledger;
mod revocation;
mod table;
mod team;
mod verifiers;
