//! One way to a SQL database, SQLite or Postgres, chosen by the URL.
//!
//! Owns how connections are made, how transactions begin, end and are tried again, which driver
//! errors mean what, and how instants are stored.
//!
//! Never: knows a table. Driver text stops here: [`Error`] carries none of it.

mod bounded;
mod bulletin;
mod connect;
mod error;
mod instant;
mod migrate;
mod postgres;
mod transaction;

pub use bounded::Bounded;
pub use bulletin::{LONGEST, Listener};
pub use connect::{Backend, Database, Pool};
pub use error::Error;
pub use instant::{from_micros, micros};
pub use transaction::{Body, Collides, Transaction, retried};
