//! Building the service.

use std::sync::Arc;

use keystile_apps::Apps;
use keystile_catalog::Catalog;
use keystile_contract::{SealKeys, Transport};
use keystile_domain::{Clock, Entropy};
use keystile_sql::{Backend, Database};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    error::Error,
    peers::Peers,
    rest,
    store::{self, Store, migration::Migrator, sql::SqlStore},
};

/// What the console is given.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The console's sealing subkeys.
    pub seal_keys: SealKeys,
    /// The way to issuance.
    pub issuance: Transport,
    /// The way to vault.
    pub vault: Transport,
    /// The apps that Keystile ships; those of teams come from vault.
    pub catalog: Catalog,
    /// The console's own database.
    pub database: Database,
    /// Opens `/api/operator/v1`.
    pub operator_token: SecretString,
}

struct Inner {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    peers: Peers,
    apps: Apps,
    store: Arc<dyn Store>,
    /// The SHA-256 of the operator token: digests compare in constant time whatever their texts'
    /// lengths are.
    operator_token: [u8; 32],
    config: Config,
}

/// The console. Clones are the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// Brings the schema of the console's database up to date.
///
/// # Errors
/// [`Error::Store`] if a migration fails; those before it stay applied.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    Ok(database.migrate::<Migrator>().await.map_err(store::Error::from)?)
}

/// Builds the service. Migrates SQLite by itself.
///
/// # Errors
/// [`Error::Config`]; [`Error::MigrationsPending`] on Postgres; [`Error::Store`].
pub async fn build(config: Config, deps: Deps) -> Result<Service, Error> {
    config.validate()?;
    match deps.database.backend() {
        Backend::Sqlite => migrate(&deps.database).await?,
        Backend::Postgres => {
            let pending = deps.database.pending::<Migrator>().await.map_err(store::Error::from)?;
            if !pending.is_empty() {
                return Err(Error::MigrationsPending(pending));
            }
        }
    }
    let timeout = config.call_timeout();
    let apps = Apps::new(deps.catalog, deps.vault.clone(), Arc::clone(&deps.clock));
    Ok(Service(Arc::new(Inner {
        peers: Peers::new(
            Arc::clone(&deps.clock),
            deps.seal_keys,
            deps.issuance,
            deps.vault,
            timeout,
        ),
        clock: deps.clock,
        entropy: deps.entropy,
        apps,
        store: Arc::new(SqlStore::new(deps.database)),
        operator_token: digest(deps.operator_token.expose_secret()),
        config,
    })))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Service {
    /// The management and operator APIs, hardened: to be served as it is.
    pub fn router(&self) -> axum::Router {
        rest::router(self)
    }

    /// Background work until `stop`: none yet.
    pub async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    /// Can requests be served? Otherwise what is missing.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub async fn ready(&self) -> Result<(), String> {
        let answer = self.store().ping().await;
        answer.map_err(|error| format!("the console's database does not answer: {error}"))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    pub(crate) fn apps(&self) -> &Apps {
        &self.0.apps
    }

    /// The console's own rows.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Is `text` the operator token? Takes the same time whatever differs.
    pub(crate) fn is_operator(&self, text: &str) -> bool {
        digest(text).ct_eq(&self.0.operator_token).into()
    }
}
