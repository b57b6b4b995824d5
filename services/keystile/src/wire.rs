//! The wiring: which service talks to which, over what, and who listens where.
//!
//! Every role runs in this process, connected by calls through the same layers as over TCP. Only
//! gateway, console, verification and telemetry listen.

mod listeners;
mod measure;
mod services;
mod stores;

use std::{future::Future, net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

use anyhow::Context as _;
use futures::FutureExt as _;
use keystile_catalog::Catalog;
use keystile_contract::Identity;
use keystile_domain::Role;
use keystile_runtime::{
    DataDir, Drain, SystemEntropy, grpc,
    health::{self, Readiness},
    http::{Limits, harden},
    lifecycle::{Cause, GRACE, Signals},
    telemetry::Metrics,
};
use tokio::net::TcpListener;
use url::Url;

use self::{listeners::Listeners, services::Services};
use crate::{Settings, sandbox};

/// How long the services get to end once nobody asks them any more.
const SERVICES_GRACE: Duration = Duration::from_secs(5);
/// How often a start asks whether it is done.
const READY_POLL: Duration = Duration::from_millis(5);
/// Who calls the plaintext verification listener.
const LOOPBACK_CALLER: &str = "loopback";

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The REST edge.
    pub gateway: SocketAddr,
    /// The management API.
    pub console: SocketAddr,
    /// Verification over gRPC.
    pub verification: SocketAddr,
    /// Probes.
    pub telemetry: SocketAddr,
    /// The sandbox app, in `dev`.
    pub sandbox: Option<SocketAddr>,
}

/// Does this process bring the sandbox app along?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Yes, and egress may dial its socket.
    Run,
    /// No: only apps outside.
    Leave,
}

/// A running Keystile. Dropped without [`Running::stop`], its tasks run on.
pub struct Running {
    addresses: Addresses,
    data_dir: DataDir,
    console: keystile_console::Service,
    readiness: Readiness,
    /// Whoever is asked from outside.
    edge: Drain,
    /// What answers behind: it ends after the last question.
    behind: Drain,
}

/// Starts every role in this process. Ports of 0 are any free ones.
///
/// # Errors
/// With an [`crate::advice::Advice`] where there is a next step: a port or the data directory in
/// use, a secret missing.
pub async fn start(settings: &Settings, sandbox: Sandbox) -> anyhow::Result<Running> {
    let listeners = Listeners::bind(settings).await?;
    let sandbox_listener = match sandbox {
        Sandbox::Run => Some(listeners::bind("sandbox", settings.sandbox.listen).await?),
        Sandbox::Leave => None,
    };
    let addresses = Addresses {
        gateway: listeners.gateway.local_addr()?,
        console: listeners.console.local_addr()?,
        verification: listeners.verification.local_addr()?,
        telemetry: listeners.telemetry.local_addr()?,
        sandbox: sandbox_listener.as_ref().map(TcpListener::local_addr).transpose()?,
    };

    let data_dir = stores::data_dir(settings)?;
    let metrics = Metrics::new()?;
    let services = services(settings, &data_dir, addresses.sandbox, &metrics).await?;
    measure::observe(&services, &metrics)?;
    let (edge, behind) = (Drain::new(), Drain::new());
    let readiness = Readiness::new(edge.stopping());
    if let (Some(listener), Some(addr)) = (sandbox_listener, addresses.sandbox) {
        let router = sandbox::router(&base(addr)?);
        behind.spawn(sandbox::serve(listener, router, behind.clone()));
    }
    watch(&services, &readiness);
    run(&services, &edge, &behind);
    listen(listeners, &services, &readiness, &metrics, &edge);
    Ok(Running { addresses, data_dir, console: services.console, readiness, edge, behind })
}

/// Builds the services without running or serving them, for commands that only need one answer.
pub(crate) async fn idle(settings: &Settings) -> anyhow::Result<(DataDir, Services)> {
    let data_dir = stores::data_dir(settings)?;
    let services = services(settings, &data_dir, None, &Metrics::new()?).await?;
    Ok((data_dir, services))
}

/// Brings the schema of every role's database up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let data_dir = stores::data_dir(settings)?;
    let (_, stores) = stores::open(settings, &data_dir, &SystemEntropy).await?;
    stores.migrate().await
}

async fn services(
    settings: &Settings,
    data_dir: &DataDir,
    sandbox: Option<SocketAddr>,
    metrics: &Metrics,
) -> anyhow::Result<Services> {
    let (secrets, stores) = stores::open(settings, data_dir, &SystemEntropy).await?;
    let mut catalog = Catalog::shipped();
    let mut allow = settings.vault.allow.clone();
    if let Some(addr) = sandbox {
        catalog = catalog.with_sandbox(&base(addr)?);
        allow.sockets.push(addr);
    }
    Services::build(settings, secrets, stores, catalog, allow, metrics).await
}

fn base(addr: SocketAddr) -> anyhow::Result<Url> {
    Url::parse(&format!("http://{addr}")).context("the address of the sandbox")
}

fn watch(services: &Services, readiness: &Readiness) {
    let issuance = services.issuance.clone();
    readiness.add(Role::Issuance.as_str(), move || std::future::ready(issuance.ready()));
    let verification = services.verification.clone();
    readiness.add(Role::Verification.as_str(), move || std::future::ready(verification.ready()));
    let vault = services.vault.clone();
    readiness.add(Role::Vault.as_str(), move || std::future::ready(vault.ready()));
    let triggers = services.triggers.clone();
    readiness.add(Role::Triggers.as_str(), move || std::future::ready(triggers.ready()));
    let gateway = services.gateway.clone();
    readiness.add(Role::Gateway.as_str(), move || {
        let gateway = gateway.clone();
        async move { gateway.ready().await }
    });
    let console = services.console.clone();
    readiness.add(Role::Console.as_str(), move || {
        let console = console.clone();
        async move { console.ready().await }
    });
}

fn run(services: &Services, edge: &Drain, behind: &Drain) {
    let stop = || behind.stopping();
    let spawn = |role, work| supervise(role, work, edge, behind);
    let (service, token) = (services.issuance.clone(), stop());
    spawn(Role::Issuance, async move { service.run(token).await }.boxed());
    let (service, token) = (services.verification.clone(), stop());
    spawn(Role::Verification, async move { service.run(token).await }.boxed());
    let (service, token) = (services.vault.clone(), stop());
    spawn(Role::Vault, async move { service.run(token).await }.boxed());
    let (service, token) = (services.triggers.clone(), stop());
    spawn(Role::Triggers, async move { service.run(token).await }.boxed());
    let (service, token) = (services.console.clone(), stop());
    spawn(Role::Console, async move { service.run(token).await }.boxed());
}

/// Runs a role's background work. A process whose role has ended is of no use: it stops, so that
/// whoever supervises it starts another.
fn supervise<F>(role: Role, work: F, edge: &Drain, behind: &Drain)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (edge, stopping) = (edge.clone(), behind.stopping());
    behind.spawn(async move {
        let panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
        if !stopping.is_cancelled() {
            tracing::error!(%role, panicked, "a role ended by itself: stopping");
            edge.begin();
        }
    });
}

fn listen(
    listeners: Listeners,
    services: &Services,
    readiness: &Readiness,
    metrics: &Metrics,
    edge: &Drain,
) {
    use keystile_runtime::http::serve;

    let gateway = services.gateway.clone();
    let limits = gateway.limits();
    let router = metrics.measure(Role::Gateway, gateway.router());
    edge.spawn(serve(listeners.gateway, router, edge.clone(), limits));
    let console = metrics.measure(Role::Console, services.console.router());
    edge.spawn(serve(listeners.console, console, edge.clone(), Limits::default()));
    let probes = health::router(readiness.clone()).merge(metrics.router());
    let probes = harden(probes, &Limits::default());
    edge.spawn(serve(listeners.telemetry, probes, edge.clone(), Limits::default()));

    let verification = grpc::serve(
        listeners.verification,
        services.verification_stack.clone(),
        Identity::Caller(LOOPBACK_CALLER.to_owned()),
        readiness.clone(),
        edge.clone(),
        grpc::Limits::default(),
    );
    edge.spawn(async move {
        if let Err(error) = verification.await {
            tracing::error!(%error, "verification does not listen");
        }
    });
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The directory that this process holds.
    #[must_use]
    pub const fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// The console, for what only the host may ask of it.
    #[must_use]
    pub const fn console(&self) -> &keystile_console::Service {
        &self.console
    }

    /// Waits until every role is ready.
    ///
    /// # Errors
    /// What is missing after `within`, or that a role ended.
    pub async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        let ready = async {
            while !self.readiness.report().await.ready && !self.edge.stopping().is_cancelled() {
                tokio::time::sleep(READY_POLL).await;
            }
        };
        let in_time = tokio::time::timeout(within, ready).await.is_ok();
        let report = self.readiness.report().await;
        if in_time && report.ready {
            return Ok(());
        }
        let missing: Vec<_> = report
            .roles
            .into_iter()
            .filter_map(|role| role.missing.map(|missing| format!("{}: {missing}", role.role)))
            .collect();
        anyhow::bail!("not ready: {}", missing.join("; "))
    }

    /// Serves until a signal, then stops; a second signal stops at once.
    ///
    /// # Errors
    /// Nobody asked it to stop: a role ended by itself.
    pub async fn run_until(self, signals: &mut Signals) -> anyhow::Result<()> {
        let cause = self.edge.run_until(signals, GRACE).await;
        self.behind.stop(SERVICES_GRACE, signals.next()).await;
        match cause {
            Cause::Signal => Ok(()),
            Cause::Begun => anyhow::bail!("a role ended by itself; the log says which"),
        }
    }

    /// Stops: first whoever is asked from outside, then the services behind.
    pub async fn stop(self) {
        self.edge.stop(GRACE, std::future::pending()).await;
        self.behind.stop(SERVICES_GRACE, std::future::pending()).await;
    }
}
