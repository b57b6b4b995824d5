//! Verification: may this token be used for this, now? Design §5.
//!
//! Owns nothing durable: L1 and what it seals into L2, the tokens known to be worthless, the
//! look-ups in flight. A token that this installation did not mint is refused by arithmetic; a
//! genuine one is answered from L1 without a network hop while this node's lease is current.
//!
//! Never: caches a decision, uses facts that a cut has overtaken, allows anything with neither a
//! lease nor issuance, or keeps a token longer than the call that brought it.

mod apply;
mod caches;
mod capability;
mod config;
mod error;
mod flight;
mod l1;
mod l2;
mod lookup;
mod negative;
mod prove;
mod rpc;
mod stats;
mod verify;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_cache::L2;
use keystile_contract::{
    SealKeys, Transport,
    proto::verification::v1::verification_service_server::VerificationServiceServer,
};
use keystile_domain::{Clock, Entropy, InvalidSetting, Role, token::TokenKeyRing};
use keystile_follower::{Driver, Follower, Settings};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;
pub use stats::{Counts, Stats};
pub use verify::{Allowed, Answer, Question, Refused, Verifier};

use crate::{caches::Caches, l2::SealedCache, lookup::Lookups, rpc::Rpc};

/// What verification needs.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names incarnations.
    pub entropy: Arc<dyn Entropy>,
    /// Seals capabilities.
    pub seal_keys: SealKeys,
    /// Tells genuine tokens from others.
    pub token_keys: TokenKeyRing,
    /// The way to issuance.
    pub issuance: Transport,
    /// Behind L1, shared by all nodes.
    pub l2: Arc<dyn L2>,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    verifier: Arc<Verifier>,
    follower: Follower,
    rpc: Rpc,
    /// Until [`Service::run`] takes it.
    driver: Arc<Mutex<Option<Driver>>>,
}

/// Builds the service. It answers nothing from memory until [`Service::run`] has a lease.
///
/// # Errors
/// [`InvalidSetting`] names a field that cannot be.
#[expect(clippy::needless_pass_by_value, reason = "every service is built from an owned config")]
pub fn build(config: Config, deps: Deps) -> Result<Service, InvalidSetting> {
    config.validate()?;
    let stats = Arc::new(Stats::default());
    let caches = Arc::new(Caches::new(config.l1_bytes, config.negative_entries));
    let settings = Settings { cache_ttl: caches::TTL, ..Settings::default() };
    let (follower, driver) = keystile_follower::follow(
        settings,
        keystile_follower::Deps {
            issuance: deps.issuance.clone(),
            role: Role::Verification,
            clock: Arc::clone(&deps.clock),
            entropy: deps.entropy,
            apply: Arc::clone(&caches) as _,
        },
    );
    let seal_keys = Arc::new(deps.seal_keys);
    let l2 = SealedCache::new(deps.l2, Arc::clone(&seal_keys), Arc::clone(&deps.clock));
    let lookups = Lookups::new(
        &config,
        deps.issuance,
        Arc::clone(&deps.clock),
        follower.clone(),
        Arc::clone(&caches),
        l2,
        Arc::clone(&stats),
    );
    let verifier = Arc::new(Verifier::new(
        deps.token_keys,
        Arc::clone(&deps.clock),
        follower.clone(),
        caches,
        lookups,
        stats,
    ));
    let rpc = Rpc::new(Arc::clone(&verifier), seal_keys, deps.clock, config.stream_concurrency);
    Ok(Service { verifier, follower, rpc, driver: Arc::new(Mutex::new(Some(driver))) })
}

impl Service {
    /// The generated server. Whoever serves it wraps it: identity, deadlines, spans.
    #[must_use]
    pub fn grpc(&self) -> Routes {
        Routes::new(VerificationServiceServer::new(self.rpc.clone()))
    }

    /// Follows issuance's log until `stop`. A second call returns at once.
    pub async fn run(&self, stop: CancellationToken) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            driver.run(stop).await;
        }
    }

    /// For how long its lease is still current; zero without one.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.follower.lease_left()
    }

    /// Is there a lease?
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        if self.follower.lease_current() {
            Ok(())
        } else {
            Err("verification has no lease from issuance".to_owned())
        }
    }

    /// Waits for the first lease.
    pub async fn wait_ready(&self) {
        self.follower.wait_ready().await;
    }

    /// The same questions without gRPC, for who shares the process.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}
