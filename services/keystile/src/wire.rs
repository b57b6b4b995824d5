//! The wiring: which roles run here, which service talks to which, over what, and who listens where.
//!
//! Roles of one process call one another through the same layers as over TCP. Gateway, console,
//! verification and telemetry listen; the others only where some role is in another process.

mod keks;
mod listeners;
mod measure;
mod services;
mod stores;
mod ways;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use anyhow::Context as _;
use keystile_catalog::Catalog;
use keystile_domain::Role;
use keystile_runtime::{
    DataDir, Drain, SystemEntropy,
    grpc::{self, Stack},
    health::{self, Readiness},
    http::{Limits, harden, serve},
    lifecycle::{Cause, GRACE, Signals},
    secrets::{Absent, Secrets},
    telemetry::Metrics,
};
use tokio::net::TcpListener;
use url::Url;

pub(crate) use self::{
    keks::{Origin, rotation},
    listeners::bind,
};
use self::{
    listeners::Listeners,
    services::{Parts, Services},
    stores::Urls,
};
use crate::{Settings, sandbox};

/// How long the services get to end once nobody asks them any more.
const SERVICES_GRACE: Duration = Duration::from_secs(20);
/// How often a start asks whether it is done.
const READY_POLL: Duration = Duration::from_millis(5);

/// Where a process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    roles: BTreeMap<Role, SocketAddr>,
    /// Probes.
    pub telemetry: SocketAddr,
    /// The sandbox app, in `dev`.
    pub sandbox: Option<SocketAddr>,
}

impl Addresses {
    /// Where a role listens.
    ///
    /// # Errors
    /// It does not: it is in another process, or asked only within this one.
    pub fn of(&self, role: Role) -> anyhow::Result<SocketAddr> {
        self.roles.get(&role).copied().with_context(|| format!("{role} does not listen here"))
    }

    /// Where each role listens that does.
    pub fn roles(&self) -> impl Iterator<Item = (Role, SocketAddr)> {
        self.roles.iter().map(|(role, addr)| (*role, *addr))
    }
}

/// Does this process bring the sandbox app along?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Yes, and egress may dial its socket.
    Run,
    /// No: only apps outside, and the sandbox of `sandbox.url` where that is set.
    Leave,
}

/// Is this the whole product?
fn together(here: &BTreeSet<Role>) -> bool {
    Role::ALL.iter().all(|role| here.contains(role))
}

/// A running Keystile. Dropped without [`Running::stop`], its tasks run on.
pub struct Running {
    addresses: Addresses,
    data_dir: Option<DataDir>,
    console: Option<keystile_console::Service>,
    readiness: Readiness,
    /// Whoever is asked from outside.
    edge: Drain,
    /// What answers behind: it ends after the last question.
    behind: Drain,
}

/// Starts the roles of `here` in this process. Ports of 0 are any free ones.
///
/// # Errors
/// With an [`crate::advice::Advice`] where there is a next step: a port or the data directory in
/// use, a secret or a certificate missing.
pub async fn start(
    settings: &Settings,
    here: &BTreeSet<Role>,
    sandbox: Sandbox,
) -> anyhow::Result<Running> {
    let listeners = Listeners::bind(settings, here).await?;
    let sandbox_listener = match sandbox {
        Sandbox::Run => Some(bind("sandbox", settings.sandbox.listen).await?),
        Sandbox::Leave => None,
    };
    let sandbox_addr = sandbox_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let addresses = listeners.addresses(sandbox_addr)?;

    let urls = Urls::of(settings, here);
    // The demo of the sandbox is kept there.
    let hold = urls.any_file() || sandbox == Sandbox::Run;
    let data_dir = hold.then(|| stores::data_dir(settings)).transpose()?;
    let metrics = Metrics::new()?;
    let (edge, behind) = (Drain::new(), Drain::new());
    let readiness = Readiness::starting(edge.stopping());
    let Listeners { roles, telemetry } = listeners;
    // Probes are answered while a database is waited for, or a supervisor would give up.
    let probes = health::router(readiness.clone()).merge(metrics.router());
    let probes = harden(probes, &Limits::default());
    edge.spawn(serve(telemetry, probes, edge.clone(), Limits::default()));
    let started = async {
        let services =
            services(settings, here, &urls, data_dir.as_ref(), sandbox_addr, &metrics).await?;
        measure::observe(&services, &metrics)?;
        work::watch(&services, &readiness);
        listen(settings, roles, &services, &readiness, &metrics, &edge)?;
        anyhow::Ok(services)
    };
    let services = match started.await {
        Ok(services) => services,
        Err(error) => {
            edge.stop(Duration::ZERO, std::future::ready(())).await;
            return Err(error);
        }
    };
    if let (Some(listener), Some(addr)) = (sandbox_listener, addresses.sandbox) {
        let router = sandbox::Server::new(&base(addr)?, sandbox::Options::default()).router();
        behind.spawn(sandbox::serve(listener, router, behind.clone()));
    }
    work::run(&services, &edge, &behind);
    readiness.started();
    Ok(Running { addresses, data_dir, console: services.console, readiness, edge, behind })
}

/// Builds a console without running or serving it, and with it what it needs of `here`.
pub(crate) async fn console(
    settings: &Settings,
    here: &BTreeSet<Role>,
) -> anyhow::Result<(Option<DataDir>, keystile_console::Service)> {
    let urls = Urls::of(settings, here);
    let data_dir = urls.any_file().then(|| stores::data_dir(settings)).transpose()?;
    let metrics = Metrics::new()?;
    let services = services(settings, here, &urls, data_dir.as_ref(), None, &metrics).await?;
    Ok((data_dir, services.console.context("the console is not among the roles")?))
}

/// Brings the schema of every database of `here` up to date.
pub(crate) async fn migrate(settings: &Settings, here: &BTreeSet<Role>) -> anyhow::Result<()> {
    let urls = Urls::of(settings, here);
    let data_dir = urls.any_file().then(|| stores::data_dir(settings)).transpose()?;
    // A database that is made here gets its keys first.
    if urls.any_file() {
        stores::secrets(settings, here, &urls, data_dir.as_ref(), &SystemEntropy)?;
    }
    urls.connect().await?.migrate().await
}

/// Makes the installation's secrets in the data directory, unless they are there. One that is
/// missing among others, or beside a database, was lost: it is not made again.
pub(crate) fn make_secrets(settings: &Settings) -> anyhow::Result<()> {
    let data_dir = stores::data_dir(settings)?;
    let urls = Urls::of(settings, &Role::ALL.into());
    let stored = Secrets::any_file(data_dir.path()) || urls.any_file() && !urls.all_new();
    let absent = if stored { Absent::Refuse } else { Absent::Generate };
    let secrets = Secrets::new(&settings.secrets, data_dir.path(), absent, &SystemEntropy);
    secrets.prepare(Role::ALL).map_err(stores::advised)
}

/// The `[secrets]` section of a configuration for one role.
pub(crate) fn derive_secrets(
    settings: &Settings,
    role: Role,
) -> anyhow::Result<zeroize::Zeroizing<String>> {
    let (config, dir) = (&settings.secrets, &settings.data_dir);
    let secrets = Secrets::new(config, dir, Absent::Refuse, &SystemEntropy);
    secrets.derive(role).map_err(stores::advised)
}

async fn services(
    settings: &Settings,
    here: &BTreeSet<Role>,
    urls: &Urls,
    held: Option<&DataDir>,
    sandbox: Option<SocketAddr>,
    metrics: &Metrics,
) -> anyhow::Result<Services> {
    let secrets = stores::secrets(settings, here, urls, held, &SystemEntropy)?;
    let stores = urls.connect().await?;
    let mut catalog = Catalog::shipped();
    let mut allow = settings.vault.allow.clone();
    if let Some(addr) = sandbox {
        catalog = catalog.with_sandbox(&base(addr)?);
        allow.sockets.push(addr);
    } else if let Some(url) = &settings.sandbox.url {
        let url = sandbox::base(url)?;
        sandbox::allow(&url, &mut allow)?;
        catalog = catalog.with_sandbox(&url);
    }
    let parts = Parts { settings, secrets: &secrets, stores: &stores, catalog, allow, metrics };
    Services::build(parts, here).await
}

fn base(addr: SocketAddr) -> anyhow::Result<Url> {
    Url::parse(&format!("http://{addr}")).context("the address of the sandbox")
}

fn listen(
    settings: &Settings,
    mut roles: BTreeMap<Role, TcpListener>,
    services: &Services,
    readiness: &Readiness,
    metrics: &Metrics,
    edge: &Drain,
) -> anyhow::Result<()> {
    if let (Some(gateway), Some(listener)) = (&services.gateway, roles.remove(&Role::Gateway)) {
        let router = metrics.measure(Role::Gateway, gateway.router());
        edge.spawn(serve(listener, router, edge.clone(), gateway.limits()));
    }
    if let (Some(console), Some(listener)) = (&services.console, roles.remove(&Role::Console)) {
        let router = metrics.measure(Role::Console, console.router());
        edge.spawn(serve(listener, router, edge.clone(), Limits::default()));
    }
    for (role, listener) in roles {
        if let Some(stack) = services.stacks.get(&role) {
            answer(settings, role, listener, stack, readiness, edge)?;
        }
    }
    Ok(())
}

fn answer(
    settings: &Settings,
    role: Role,
    listener: TcpListener,
    stack: &Stack,
    readiness: &Readiness,
    edge: &Drain,
) -> anyhow::Result<()> {
    let callers = listeners::callers(settings, role, listener.local_addr()?)?;
    let (readiness, drain) = (readiness.clone(), edge.clone());
    let serving =
        grpc::serve(listener, stack.clone(), callers, readiness, drain, grpc::Limits::default());
    edge.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%role, %error, "a role does not listen");
        }
    });
    Ok(())
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The directory that this process holds.
    ///
    /// # Errors
    /// It holds none.
    pub fn data_dir(&self) -> anyhow::Result<&DataDir> {
        self.data_dir.as_ref().context("this process holds no data directory")
    }

    /// The console, for what only the host may ask of it.
    ///
    /// # Errors
    /// It is in another process.
    pub fn console(&self) -> anyhow::Result<&keystile_console::Service> {
        self.console.as_ref().context("the console is in another process")
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
