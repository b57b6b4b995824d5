//! People and their tools: users, memberships, management tokens, and the REST API to manage a team.
//!
//! Owns who is a person, what they are in a team, which management tokens they made, and the trail
//! of those changes. Everything else that it shows belongs to issuance and vault: it asks them, and
//! vouches for who asks with a sealed actor.
//!
//! Never: decides what a key may do, sees a stored credential, keeps a token or a password in a
//! form that opens anything.

mod bootstrap;
mod config;
mod email;
mod error;
mod password;
mod peers;
mod rest;
mod service;
pub mod store;
mod token;
mod token_use;
mod tokens;
mod trail;

pub use bootstrap::Bootstrap;
pub use config::Config;
pub use email::{Email, InvalidEmail};
pub use error::Error;
pub use password::HashError;
pub use service::{Deps, Service, build, migrate};
pub use token::Digest;
pub use token_use::Unusable;
