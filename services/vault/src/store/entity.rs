//! The tables.

pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod connection;
pub(crate) mod data_key;
pub(crate) mod flow;
pub(crate) mod idempotency;
pub(crate) mod integration;
pub(crate) mod key_reader;
pub(crate) mod outbox;
pub(crate) mod wrapping;
