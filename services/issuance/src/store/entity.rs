//! The tables, as sea-orm sees them.

pub(super) mod audit;
pub(super) mod epoch;
pub(super) mod follower;
pub(super) mod grant;
pub(super) mod key;
pub(super) mod log;
pub(super) mod operation;
pub(super) mod scope_status;
pub(super) mod secret;
pub(super) mod team;
