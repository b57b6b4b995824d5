//! The six services, each with its ways to the others.

use std::sync::Arc;

use anyhow::Context as _;
use keystile_catalog::Catalog;
use keystile_contract::{Identity, SealKeys, Transport, transport};
use keystile_domain::{Clock, Entropy, Role};
use keystile_egress::{Allow, Policy, SystemResolver};
use keystile_runtime::{
    SystemClock, SystemEntropy,
    grpc::{self, Stack, stack},
    secrets::{Secrets, Versioned},
    telemetry::{Metrics, traced},
};
use keystile_seal::KekRing;
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::stores::Stores;
use crate::Settings;

/// The services, built and not yet running.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) issuance: keystile_issuance::Service,
    pub(crate) verification: keystile_verification::Service,
    pub(crate) vault: keystile_vault::Service,
    pub(crate) triggers: keystile_triggers::Service,
    pub(crate) gateway: keystile_gateway::Service,
    pub(crate) console: keystile_console::Service,
    /// Verification as other programs may call it.
    pub(crate) verification_stack: Stack,
}

impl Services {
    /// Builds every service in this process, connected by calls. `allow` is what egress may dial
    /// beside public addresses; `metrics` counts the calls.
    pub(crate) async fn build(
        settings: &Settings,
        secrets: Secrets,
        stores: Stores,
        catalog: Catalog,
        allow: Allow,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let seal_keys = SealKeyRing::new(&secrets.sealing_keys);
        let keks = secrets.keks.into_iter();
        let embedded = stores.embedded();

        // Issuance asks vault, and vault asks issuance.
        let (vault_of_issuance, vault_far) = transport::deferred();
        let issuance = keystile_issuance::build(
            keystile_issuance::Config { embedded, ..settings.issuance.clone() },
            keystile_issuance::Deps {
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                seal_keys: seal_keys.of(Role::Issuance),
                token_keys: secrets.token_keys.clone(),
                vault: traced(vault_of_issuance, Role::Vault),
                store: issuance_store(&stores, &*entropy).await?,
            },
        )
        .await
        .context("issuance")?;
        let issuance_stack = stack(issuance.grpc(), grpc::Limits::default()).measured(metrics);

        let verification = keystile_verification::build(
            settings.verification.clone(),
            keystile_verification::Deps {
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                seal_keys: seal_keys.of(Role::Verification),
                token_keys: secrets.token_keys,
                issuance: way((&issuance_stack, Role::Issuance), Role::Verification),
                l2: settings.cache.open(Arc::clone(&clock))?,
            },
        )?;
        let verification_stack =
            stack(verification.grpc(), grpc::Limits::default()).measured(metrics);

        let policy = Policy { allow, ..Policy::default() };
        let egress = keystile_egress::Client::new(policy, Arc::new(SystemResolver::new()))?;
        let vault = keystile_vault::build(
            settings.vault.clone(),
            keystile_vault::Deps {
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                seal_keys: seal_keys.of(Role::Vault),
                keks: KekRing::new(keks, Arc::clone(&entropy)).context("secrets.keks")?,
                issuance: way((&issuance_stack, Role::Issuance), Role::Vault),
                catalog: catalog.clone(),
                egress,
                database: stores.vault,
            },
        )
        .await
        .context("vault")?;
        let vault_stack = stack(vault.grpc(), grpc::Limits::default()).measured(metrics);
        vault_far.connect(transport::local(vault_stack.clone(), Identity::Role(Role::Issuance)));

        let triggers = keystile_triggers::build(
            settings.triggers.clone(),
            keystile_triggers::Deps {
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                seal_keys: seal_keys.of(Role::Triggers),
                issuance: way((&issuance_stack, Role::Issuance), Role::Triggers),
                vault: way((&vault_stack, Role::Vault), Role::Triggers),
                database: stores.triggers,
            },
        )
        .await
        .context("triggers")?;

        let gateway = keystile_gateway::build(
            settings.gateway.clone(),
            keystile_gateway::Deps {
                clock: Arc::clone(&clock),
                verification: way((&verification_stack, Role::Verification), Role::Gateway),
                vault: way((&vault_stack, Role::Vault), Role::Gateway),
                catalog: catalog.clone(),
            },
        )?;

        let console = keystile_console::build(
            settings.console.clone(),
            keystile_console::Deps {
                clock,
                entropy,
                seal_keys: seal_keys.of(Role::Console),
                issuance: way((&issuance_stack, Role::Issuance), Role::Console),
                vault: way((&vault_stack, Role::Vault), Role::Console),
                catalog,
                database: stores.console,
                operator_token: secrets.operator_token,
            },
        )
        .await
        .context("console")?;

        Ok(Self { issuance, verification, vault, triggers, gateway, console, verification_stack })
    }
}

/// The way to a service of this process, for one of its roles.
fn way((stack, to): (&Stack, Role), from: Role) -> Transport {
    traced(transport::local(stack.clone(), Identity::Role(from)), to)
}

async fn issuance_store(
    stores: &Stores,
    entropy: &dyn Entropy,
) -> anyhow::Result<Arc<dyn keystile_issuance::store::Store>> {
    use keystile_issuance::store::sql;
    use keystile_sql::Backend;

    let database = &stores.issuance;
    match database.backend() {
        Backend::Sqlite => sql::migrate(database).await.context("issuance")?,
        Backend::Postgres => {
            let pending = sql::pending(database).await.context("issuance")?;
            if !pending.is_empty() {
                let message = format!("pending migrations of issuance: {}", pending.join(", "));
                return Err(crate::advice::Advice::new(message, "run keystile migrate").into());
            }
        }
    }
    Ok(Arc::new(sql::SqlStore::open(database.clone(), entropy).await.context("issuance")?))
}

/// The sealing keys, from which each role gets its subkeys only.
struct SealKeyRing(Zeroizing<Vec<(u32, [u8; 32])>>);

impl SealKeyRing {
    fn new(keys: &[Versioned]) -> Self {
        let keys = keys.iter().map(|(version, key)| (*version, *key.expose_secret()));
        Self(Zeroizing::new(keys.collect()))
    }

    fn of(&self, role: Role) -> SealKeys {
        SealKeys::derive(role, &self.0)
    }
}
