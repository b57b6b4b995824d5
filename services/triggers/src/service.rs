//! Building and running the service.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_contract::{
    SealKeys, Transport, proto::triggers::v1::trigger_service_server::TriggerServiceServer,
};
use keystile_domain::{Clock, Entropy, Role};
use keystile_follower::{Driver, Follower, Settings, follow};
use keystile_sql::{Backend, Database};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    config::Config,
    error::Error,
    memory::Memory,
    rpc::Triggers,
    store::{Store, sql::SqlStore},
};

/// What triggers is given.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Triggers' sealing subkeys.
    pub seal_keys: SealKeys,
    /// The way to issuance.
    pub issuance: Transport,
    /// The way to vault.
    pub vault: Transport,
    /// Its own database.
    pub database: Database,
}

/// Triggers. Clones are the same service.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    follower: Follower,
    /// Taken by the one run.
    driver: Arc<Mutex<Option<Driver>>>,
}

/// Brings the schema of triggers' database up to date.
///
/// # Errors
/// [`Error::Store`] if a migration fails; those before it stay applied.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    Ok(SqlStore::migrate(database).await?)
}

/// Builds the service. It follows the log once [`Service::run`] is polled. Where it listens and
/// which database it has is decided by whoever calls this, from the same configuration; sealing
/// keys and vault serve registrations only, of which there are none yet.
///
/// # Errors
/// [`Error::MigrationsPending`] on Postgres; [`Error::Store`].
pub async fn build(_config: Config, deps: Deps) -> Result<Service, Error> {
    match deps.database.backend() {
        Backend::Sqlite => migrate(&deps.database).await?,
        Backend::Postgres => {
            let pending = SqlStore::pending(&deps.database).await?;
            if !pending.is_empty() {
                return Err(Error::MigrationsPending(pending));
            }
        }
    }
    let store: Arc<dyn Store> = Arc::new(SqlStore::new(deps.database));
    let (follower, driver) = follow(
        Settings::default(),
        keystile_follower::Deps {
            issuance: deps.issuance,
            role: Role::Triggers,
            clock: deps.clock,
            entropy: deps.entropy,
            apply: Arc::new(Memory(Arc::clone(&store))),
        },
    );
    Ok(Service { store, follower, driver: Arc::new(Mutex::new(Some(driver))) })
}

impl Service {
    /// The gRPC service, without the layers that every server shares.
    #[must_use]
    pub fn grpc(&self) -> Routes {
        let (store, follower) = (Arc::clone(&self.store), self.follower.clone());
        Routes::new(TriggerServiceServer::new(Triggers { store, follower }))
    }

    /// Follows the log until `stop`. Only the first call does anything.
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

    /// Is the log followed now?
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        if self.follower.lease_current() {
            Ok(())
        } else {
            Err("triggers: no current lease from issuance".to_owned())
        }
    }
}
