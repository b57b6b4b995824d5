//! What every use case works with.

use std::sync::Arc;

use keystile_catalog::Catalog;
use keystile_contract::{SealKeys, Transport};
use keystile_domain::{Clock, Entropy};
use keystile_follower::Follower;
use tokio_util::task::TaskTracker;

use crate::{
    apps::Parsed, config::Config, keys::Keys, last_used::LastUsed, limit::Limiter, outbox::Outbox,
    refresh::Flights, store::Store,
};

/// The service behind its rpc. Each use case is a method in a file of its own.
pub(crate) struct Vault {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) seal_keys: SealKeys,
    /// The apps that Keystile ships.
    pub(crate) catalog: Catalog,
    pub(crate) egress: keystile_egress::Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    pub(crate) follower: Follower,
    pub(crate) outbox: Outbox,
    pub(crate) last_used: LastUsed,
    pub(crate) flights: Flights,
    pub(crate) parsed: Parsed,
    pub(crate) issuance: Transport,
    /// Where browsers reach the gateway, without a slash at its end.
    pub(crate) gateway_url: String,
    pub(crate) limiter: Limiter,
    /// Runs that go on without their callers.
    pub(crate) runs: TaskTracker,
}
