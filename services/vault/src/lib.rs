//! Vault: the accounts that teams have linked, and the call to the outside app.
//!
//! Owns integrations and connections, their sealed clients and credentials, data keys, the flows by
//! which people connect accounts, the apps that teams add, the audit trail of all that, the outbox by
//! which its cuts reach issuance, and for a day what came of runs under an idempotency key. It is the
//! only service that opens a credential, and it does so only while it makes a call for a capability
//! that passes the fence, or asks the credential's own provider for the next.
//!
//! Never: answers, logs or stores a credential in the clear, starts a call without a current lease,
//! or decides what a key may do.

mod account;
mod apps;
mod audit;
mod check_grant;
mod config;
mod connect;
mod connection;
mod create;
mod credential;
mod delete;
mod error;
mod fence;
mod idempotency;
mod integration;
mod keys;
mod last_used;
mod limit;
mod oauth;
mod outbox;
mod outside;
mod read;
mod refresh;
pub mod rotation;
mod rpc;
mod run_action;
mod scope;
mod service;
mod store;
mod test;
mod texts;
mod vault;

pub use config::Config;
pub use error::Error;
pub use rotation::Rotation;
pub use service::{Deps, Service, build, migrate};
