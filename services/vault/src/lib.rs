//! Vault: the accounts that teams have linked, and the call to the outside app.
//!
//! Owns connections, their sealed credentials and data keys, the audit trail of both, and the
//! outbox by which its cuts reach issuance. It is the only service that opens a credential, and it
//! does so only while it makes a call for a capability that passes the fence.
//!
//! Never: answers, logs or stores a credential in the clear, starts a call without a current lease,
//! or decides what a key may do.

mod audit;
mod check_grant;
mod config;
mod connection;
mod create;
mod credential;
mod delete;
mod error;
mod fence;
mod keys;
mod last_used;
mod outbox;
mod outside;
mod read;
pub mod rotation;
mod rpc;
mod run_action;
mod service;
mod store;
mod test;
mod vault;

pub use config::Config;
pub use error::Error;
pub use rotation::Rotation;
pub use service::{Deps, Service, build, migrate};
