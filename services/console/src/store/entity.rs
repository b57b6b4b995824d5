//! The tables as sea-orm sees them. Nothing outside [`super::sql`] does.

pub(super) mod audit;
pub(super) mod membership;
pub(super) mod team;
pub(super) mod token;
pub(super) mod user;
