//! The tables.

pub(crate) mod applied;
pub(crate) mod tombstone;
