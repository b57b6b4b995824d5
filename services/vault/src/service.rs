//! Building and running the service.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_catalog::Catalog;
use keystile_contract::{
    SealKeys, Transport,
    proto::vault::v1::{
        action_service_server::ActionServiceServer, app_service_server::AppServiceServer,
        connect_service_server::ConnectServiceServer,
        connection_service_server::ConnectionServiceServer,
        integration_service_server::IntegrationServiceServer,
    },
};
use keystile_domain::{Clock, Entropy, Role};
use keystile_follower::{Driver, Settings, follow};
use keystile_seal::KeyEncryption;
use keystile_sql::{Backend, Database};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    apps::Parsed,
    config::Config,
    error::Error,
    fence::NothingCached,
    idempotency,
    keys::Keys,
    last_used::{self, LastUsed},
    limit::Limiter,
    outbox::Outbox,
    refresh::Flights,
    rpc,
    store::sql::SqlStore,
    vault::Vault,
};

/// What vault is given.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Vault's sealing subkeys.
    pub seal_keys: SealKeys,
    /// The key-encryption keys.
    pub keks: Arc<dyn KeyEncryption>,
    /// The way to issuance.
    pub issuance: Transport,
    /// The apps.
    pub catalog: Catalog,
    /// The way to outside apps.
    pub egress: keystile_egress::Client,
    /// Vault's own database.
    pub database: Database,
    /// Where browsers reach the gateway: `https://gateway.example.com`. Providers send them back
    /// there.
    pub gateway_url: String,
}

/// Vault. Clones are the same service.
#[derive(Clone)]
pub struct Service {
    vault: Arc<Vault>,
    /// Taken by the one run.
    driver: Arc<Mutex<Option<Driver>>>,
}

/// Brings the schema of vault's database up to date.
///
/// # Errors
/// [`Error::Store`] if a migration fails; those before it stay applied.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    Ok(SqlStore::migrate(database).await?)
}

/// Builds the service. It answers at once, and starts actions once [`Service::run`] has a lease.
///
/// # Errors
/// [`Error::Config`]; [`Error::MigrationsPending`] on Postgres; [`Error::KeyEncryption`] if stored
/// credentials need a key-encryption key that is not there; [`Error::Store`].
pub async fn build(config: Config, deps: Deps) -> Result<Service, Error> {
    config.validate()?;
    match deps.database.backend() {
        Backend::Sqlite => migrate(&deps.database).await?,
        Backend::Postgres => {
            let pending = SqlStore::pending(&deps.database).await?;
            if !pending.is_empty() {
                return Err(Error::MigrationsPending(pending));
            }
        }
    }
    let Deps { clock, entropy, seal_keys, keks, issuance, catalog, egress, database, gateway_url } =
        deps;
    let store = Arc::new(SqlStore::new(database));
    let keys =
        Keys::open(Arc::<SqlStore>::clone(&store), keks, Arc::clone(&clock), Arc::clone(&entropy))
            .await?;
    let (follower, driver) = follow(
        Settings::default(),
        keystile_follower::Deps {
            issuance: issuance.clone(),
            role: Role::Vault,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            apply: Arc::new(NothingCached),
        },
    );
    let vault = Vault {
        config,
        outbox: Outbox::new(Arc::<SqlStore>::clone(&store), issuance.clone(), Arc::clone(&clock)),
        limiter: Limiter::new(Arc::clone(&clock)),
        runs: TaskTracker::new(),
        clock,
        entropy,
        seal_keys,
        catalog,
        egress,
        store,
        keys,
        follower,
        last_used: LastUsed::default(),
        flights: Flights::default(),
        parsed: Parsed::default(),
        issuance,
        gateway_url: gateway_url.trim_end_matches('/').to_owned(),
    };
    Ok(Service { vault: Arc::new(vault), driver: Arc::new(Mutex::new(Some(driver))) })
}

impl Service {
    /// The gRPC services, without the layers that every server shares.
    #[must_use]
    pub fn grpc(&self) -> Routes {
        Routes::new(ConnectionServiceServer::new(rpc::Connections(Arc::clone(&self.vault))))
            .add_service(
                AppServiceServer::new(rpc::Apps(Arc::clone(&self.vault)))
                    .max_decoding_message_size(rpc::LARGEST_DOCUMENT_MESSAGE),
            )
            .add_service(IntegrationServiceServer::new(rpc::Integrations(Arc::clone(&self.vault))))
            .add_service(ConnectServiceServer::new(rpc::Connects(Arc::clone(&self.vault))))
            .add_service(ActionServiceServer::new(rpc::Actions(Arc::clone(&self.vault))))
    }

    /// Follows the log, sends what the outbox holds, refreshes what is due, writes when connections
    /// were used, forgets old runs and takes part in the rotation of keys, until `stop`; then waits
    /// for the runs that go on without their callers. Only the first call does anything.
    pub async fn run(&self, stop: CancellationToken) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(driver) = driver else { return };
        tokio::join!(
            driver.run(stop.clone()),
            self.vault.outbox.run(stop.clone()),
            self.vault.run_refresh(stop.clone()),
            self.write_last_used(stop.clone()),
            self.prune_runs(stop.clone()),
            self.vault.keys.stay_known(stop),
        );
        self.vault.runs.close();
        self.vault.runs.wait().await;
        // Last of all: what goes on has answers and tokens to seal.
        self.vault.keys.leave().await;
    }

    async fn prune_runs(&self, stop: CancellationToken) {
        let pause = || tokio::time::sleep(idempotency::PRUNE_INTERVAL);
        while stop.run_until_cancelled(pause()).await.is_some() {
            if let Err(error) = self.vault.prune_runs().await {
                tracing::warn!(%error, "old runs were not forgotten");
            }
        }
    }

    async fn write_last_used(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(last_used::INTERVAL)).await.is_some() {
            self.flush().await;
        }
        self.flush().await;
    }

    async fn flush(&self) {
        if let Err(error) = self.vault.last_used.flush(&*self.vault.store).await {
            tracing::warn!(%error, "the last use of connections was not stored");
        }
    }

    /// For how long its lease is still current; zero without one.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        self.vault.follower.lease_left()
    }

    /// Can actions start now?
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        if self.vault.follower.lease_current() {
            Ok(())
        } else {
            Err("vault: no current lease from issuance".to_owned())
        }
    }
}
