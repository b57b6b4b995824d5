//! Issuance: teams and plans, keys and grants, the hashes of secrets, and the log of every change
//! with the barrier that makes a cut strict (design §6).
//!
//! Owns who holds which key and what it may do. Every change goes through one function,
//! `change::commit`, which writes its row of the log and of the trail in the transaction of the
//! change. Checks permission and plan itself, by the sealed actor and its own tables.
//!
//! Never: keeps a token, sees a credential of an outside app, decides about a request that a caller
//! makes with a key (verification does, from the facts it reads here), or answers for another team.

mod barrier;
pub mod change;
pub mod config;
pub mod error;
pub mod facts;
pub mod keys;
pub mod lease;
pub mod log;
mod replicas;
mod rpc;
mod service;
pub mod store;
pub mod teams;
pub mod trail;

pub use config::Config;
pub use error::Error;
pub use service::{Deps, Service, build};

use keystile_contract::Failure;

/// Rows of a page that asks for none in particular.
const DEFAULT_PAGE: u64 = 50;
/// Rows of a page at most.
const MAX_PAGE: u64 = 200;

/// The size of a page: 1 to 200, 0 is 50.
fn page_size(asked: u32) -> Result<u64, Failure> {
    match u64::from(asked) {
        0 => Ok(DEFAULT_PAGE),
        size if size <= MAX_PAGE => Ok(size),
        _ => Err(Failure::invalid("page_size", "must be at most 200")),
    }
}
