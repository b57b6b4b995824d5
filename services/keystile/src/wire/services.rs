//! The services of this process, each with its ways to the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use keystile_catalog::Catalog;
use keystile_domain::{Clock, Entropy, Role};
use keystile_egress::{Allow, Policy, SystemResolver};
use keystile_runtime::{
    SystemClock, SystemEntropy,
    grpc::{self, Stack},
    secrets::Secrets,
    telemetry::{self, Metrics},
};

use super::{keks, stores::Stores, together, ways::Ways};
use crate::Settings;

/// The services, built and not yet running.
#[derive(Clone, Default)]
pub(crate) struct Services {
    pub(crate) issuance: Option<keystile_issuance::Service>,
    pub(crate) verification: Option<keystile_verification::Service>,
    pub(crate) vault: Option<keystile_vault::Service>,
    pub(crate) triggers: Option<keystile_triggers::Service>,
    pub(crate) gateway: Option<keystile_gateway::Service>,
    pub(crate) console: Option<keystile_console::Service>,
    /// What answers the calls to each role with gRPC.
    pub(crate) stacks: BTreeMap<Role, Stack>,
}

/// What services are built from.
pub(crate) struct Parts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) secrets: &'a Secrets<'a>,
    pub(crate) stores: &'a Stores,
    pub(crate) catalog: Catalog,
    /// What egress may dial beside public addresses.
    pub(crate) allow: Allow,
    /// Counts the calls.
    pub(crate) metrics: &'a Metrics,
}

impl Services {
    /// Builds `here`. Nobody else needs to be up.
    pub(crate) async fn build(parts: Parts<'_>, here: &BTreeSet<Role>) -> anyhow::Result<Self> {
        let mut ways = Ways::new(parts.settings, here);
        let mut services = Self::default();
        let stack = |routes| grpc::stack(routes, grpc::Limits::default()).measured(parts.metrics);
        // In this order each finds the ones that it asks, but for issuance and vault.
        if here.contains(&Role::Issuance) {
            let service = parts.issuance(&mut ways, together(here)).await.context("issuance")?;
            ways.add(Role::Issuance, stack(service.grpc()));
            services.issuance = Some(service);
        }
        if here.contains(&Role::Verification) {
            let service = parts.verification(&mut ways)?;
            ways.add(Role::Verification, stack(service.grpc()));
            services.verification = Some(service);
        }
        if here.contains(&Role::Vault) {
            let service = parts.vault(&mut ways).await.context("vault")?;
            ways.add(Role::Vault, stack(service.grpc()));
            services.vault = Some(service);
        }
        if here.contains(&Role::Triggers) {
            let service = parts.triggers(&mut ways).await.context("triggers")?;
            ways.add(Role::Triggers, stack(service.grpc()));
            services.triggers = Some(service);
        }
        if here.contains(&Role::Gateway) {
            services.gateway = Some(parts.gateway(&mut ways)?);
        }
        if here.contains(&Role::Console) {
            services.console = Some(parts.console(&mut ways).await.context("console")?);
        }
        services.stacks = ways.into_stacks();
        Ok(services)
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

impl Parts<'_> {
    async fn issuance(
        &self,
        ways: &mut Ways<'_>,
        together: bool,
    ) -> anyhow::Result<keystile_issuance::Service> {
        // Followers are tasks of this process, and of no other that is alive.
        let embedded = together && self.stores.held(Role::Issuance);
        let config = keystile_issuance::Config { embedded, ..self.settings.issuance.clone() };
        let deps = keystile_issuance::Deps {
            clock: clock(),
            entropy: entropy(),
            seal_keys: self.secrets.seal_keys(Role::Issuance)?,
            token_keys: self.secrets.token_keys()?,
            vault: ways.between(Role::Issuance, Role::Vault)?,
            store: issuance_store(self.stores).await?,
        };
        Ok(keystile_issuance::build(config, deps).await?)
    }

    fn verification(&self, ways: &mut Ways<'_>) -> anyhow::Result<keystile_verification::Service> {
        let deps = keystile_verification::Deps {
            clock: clock(),
            entropy: entropy(),
            seal_keys: self.secrets.seal_keys(Role::Verification)?,
            token_keys: self.secrets.token_keys()?,
            issuance: ways.between(Role::Verification, Role::Issuance)?,
            l2: self.settings.cache.open(clock())?,
        };
        Ok(keystile_verification::build(self.settings.verification.clone(), deps)?)
    }

    async fn vault(&self, ways: &mut Ways<'_>) -> anyhow::Result<keystile_vault::Service> {
        let policy = Policy { allow: self.allow.clone(), ..Policy::default() };
        let egress = keystile_egress::Client::new(policy, Arc::new(SystemResolver::new()))?;
        let deps = keystile_vault::Deps {
            clock: clock(),
            entropy: entropy(),
            seal_keys: self.secrets.seal_keys(Role::Vault)?,
            keks: keks::open(self.secrets).await?,
            issuance: ways.between(Role::Vault, Role::Issuance)?,
            catalog: self.catalog.clone(),
            egress: egress.with_trace(telemetry::outside),
            database: self.stores.of(Role::Vault)?,
            gateway_url: self.gateway_url(),
        };
        Ok(keystile_vault::build(self.settings.vault.clone(), deps).await?)
    }

    /// Where browsers reach the gateway, wherever it runs.
    fn gateway_url(&self) -> String {
        let gateway = &self.settings.gateway;
        gateway.public_url.clone().unwrap_or_else(|| format!("http://{}", gateway.listen))
    }

    async fn triggers(&self, ways: &mut Ways<'_>) -> anyhow::Result<keystile_triggers::Service> {
        let deps = keystile_triggers::Deps {
            clock: clock(),
            entropy: entropy(),
            seal_keys: self.secrets.seal_keys(Role::Triggers)?,
            issuance: ways.between(Role::Triggers, Role::Issuance)?,
            vault: ways.between(Role::Triggers, Role::Vault)?,
            database: self.stores.of(Role::Triggers)?,
        };
        Ok(keystile_triggers::build(self.settings.triggers.clone(), deps).await?)
    }

    fn gateway(&self, ways: &mut Ways<'_>) -> anyhow::Result<keystile_gateway::Service> {
        let verification = ways.between(Role::Gateway, Role::Verification)?;
        let apart = !ways.leads_inside(Role::Verification);
        let deps = keystile_gateway::Deps {
            clock: clock(),
            verification_health: apart.then(|| verification.clone()),
            verification,
            vault: ways.between(Role::Gateway, Role::Vault)?,
            catalog: self.catalog.clone(),
        };
        Ok(keystile_gateway::build(self.settings.gateway.clone(), deps)?)
    }

    async fn console(&self, ways: &mut Ways<'_>) -> anyhow::Result<keystile_console::Service> {
        let deps = keystile_console::Deps {
            clock: clock(),
            entropy: entropy(),
            seal_keys: self.secrets.seal_keys(Role::Console)?,
            issuance: ways.between(Role::Console, Role::Issuance)?,
            vault: ways.between(Role::Console, Role::Vault)?,
            catalog: self.catalog.clone(),
            database: self.stores.of(Role::Console)?,
            operator_token: self.secrets.operator_token()?,
        };
        Ok(keystile_console::build(self.settings.console.clone(), deps).await?)
    }
}

async fn issuance_store(
    stores: &Stores,
) -> anyhow::Result<Arc<dyn keystile_issuance::store::Store>> {
    use keystile_issuance::store::sql;
    use keystile_sql::Backend;

    let database = stores.of(Role::Issuance)?;
    match database.backend() {
        Backend::Sqlite => sql::migrate(&database).await?,
        Backend::Postgres => {
            let pending = sql::pending(&database).await?;
            if !pending.is_empty() {
                let message = format!("pending migrations of issuance: {}", pending.join(", "));
                return Err(crate::advice::Advice::new(message, "run keystile migrate").into());
            }
        }
    }
    Ok(Arc::new(sql::SqlStore::open(database, &SystemEntropy).await?))
}
