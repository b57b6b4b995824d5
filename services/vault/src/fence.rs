//! The fence: what a capability must pass before anything starts. Design §6.5.

use async_trait::async_trait;
use keystile_contract::capability::Capability;
use keystile_domain::log::{Applied, History, LogRow};
use keystile_follower::{Apply, ApplyError, Follower, Rejected};

use crate::error::Error;

/// Passes if this process knows of every cut that returned, and none of them concerns the
/// capability.
pub(crate) fn admit(follower: &Follower, capability: &Capability) -> Result<(), Error> {
    follower.admit(&capability.as_of, capability.scopes()).map_err(|rejected| match rejected {
        Rejected::NoLease => Error::NoLease,
        Rejected::Stale { needed } => Error::Stale(needed),
        // Facts of another history are worth nothing, however new they look: what is asked for is
        // a capability of this one.
        Rejected::ForeignHistory => follower.applied().map_or(Error::NoLease, Error::Stale),
    })
}

/// Vault keeps nothing that a row of the log could make wrong: what it decides by is its own
/// database and the tombstones, which the follower keeps.
pub(crate) struct NothingCached;

#[async_trait]
impl Apply for NothingCached {
    async fn resume_from(&self) -> Result<Option<Applied>, ApplyError> {
        Ok(None)
    }

    async fn reset(&self, _begin: &Applied) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn apply(&self, _history: &History, _rows: &[LogRow]) -> Result<(), ApplyError> {
        Ok(())
    }
}
