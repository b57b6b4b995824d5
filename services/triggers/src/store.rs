//! What triggers keeps, and the promises of whoever keeps it.
//!
//! Each method is one atomic step: all of it is durable when it returns, or nothing happened.

#[cfg(test)]
mod conformance;
mod entity;
#[cfg(test)]
pub(crate) mod memory;
mod migration;
pub(crate) mod sql;

use async_trait::async_trait;
use keystile_domain::{Scope, log::Applied};
pub(crate) use keystile_sql::Error;

/// Where triggers keeps its rows.
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// Up to where the tombstones are complete; `None` before the first registration.
    async fn applied(&self) -> Result<Option<Applied>, Error>;

    /// How many scopes have a tombstone.
    async fn tombstones(&self) -> Result<u64, Error>;

    /// Forgets every tombstone: from `begin` on they are complete.
    async fn reset(&self, begin: &Applied) -> Result<(), Error>;

    /// Notes when each scope changed, in order, and that all is known up to `applied`. A scope's
    /// tombstone only moves forward, so rows that come again change nothing.
    async fn advance(&self, applied: &Applied, changed: &[(Scope, u64)]) -> Result<(), Error>;
}
