//! The tables.

pub(crate) mod audit;
pub(crate) mod connection;
pub(crate) mod data_key;
pub(crate) mod idempotency;
pub(crate) mod outbox;
