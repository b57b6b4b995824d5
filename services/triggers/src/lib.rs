//! Triggers: follows issuance's log with a memory that survives a restart.
//!
//! Owns the tombstones of every scope that changed and the position up to which they are complete,
//! both in its own database, written together. A restart takes up the log where they end.
//!
//! Never: decides what a key may do, or acknowledges a change before its tombstone is stored.

mod config;
mod error;
mod memory;
mod rpc;
mod service;
mod store;

pub use config::Config;
pub use error::Error;
pub use service::{Deps, Service, build, migrate};
