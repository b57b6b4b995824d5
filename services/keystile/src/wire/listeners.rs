//! The sockets of a process, taken before anything else is done: a port that is in use is the most
//! common reason not to start.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::SocketAddr,
};

use anyhow::Context as _;
use keystile_contract::Identity;
use keystile_domain::Role;
use keystile_runtime::grpc::{Callers, NotLoopback};
use tokio::net::TcpListener;

use super::{Addresses, together, ways};
use crate::{Settings, advice::Advice};

/// Who calls a plaintext verification listener.
const LOOPBACK_CALLER: &str = "loopback";

/// One listener for each role that is asked from outside this process, and one for probes.
pub(crate) struct Listeners {
    pub(crate) roles: BTreeMap<Role, TcpListener>,
    pub(crate) telemetry: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(settings: &Settings, here: &BTreeSet<Role>) -> anyhow::Result<Self> {
        let mut roles = BTreeMap::new();
        for role in here.iter().copied() {
            let listen = match role {
                Role::Gateway => settings.gateway.listen,
                Role::Console => settings.console.listen,
                Role::Verification => settings.verification.listen,
                // Nobody else would have a reason to call.
                _ if together(here) => continue,
                Role::Issuance => settings.issuance.listen,
                Role::Vault => settings.vault.listen,
                Role::Triggers => settings.triggers.listen,
            };
            roles.insert(role, bind(role.as_str(), listen).await?);
        }
        Ok(Self { roles, telemetry: bind("telemetry", settings.telemetry.listen).await? })
    }

    pub(crate) fn addresses(&self, sandbox: Option<SocketAddr>) -> anyhow::Result<Addresses> {
        let bound = |(role, listener): (&Role, &TcpListener)| Ok((*role, listener.local_addr()?));
        Ok(Addresses {
            roles: self.roles.iter().map(bound).collect::<anyhow::Result<_>>()?,
            telemetry: self.telemetry.local_addr()?,
            sandbox,
        })
    }
}

/// Who may call a role over gRPC.
pub(super) fn callers(settings: &Settings, role: Role, at: SocketAddr) -> anyhow::Result<Callers> {
    if let Some(credentials) = ways::credentials(settings, role)? {
        return Ok(Callers::Certified(role, credentials.server()?));
    }
    if role != Role::Verification {
        let message = format!("{role} is called by other processes, and tls.dir is not set");
        let hint = "make certificates with keystile certs init and keystile certs issue";
        return Err(Advice::new(message, hint).into());
    }
    if !at.ip().to_canonical().is_loopback() {
        return Err(NotLoopback(at)).context("verification.listen");
    }
    Ok(Callers::Loopback(Identity::Caller(LOOPBACK_CALLER.to_owned())))
}

/// Listens at `addr`, the `listen` of a section.
pub(crate) async fn bind(section: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| {
        let (port, variable) = (addr.port(), section.to_ascii_uppercase());
        let elsewhere = SocketAddr::new(addr.ip(), port.checked_add(1000).unwrap_or(0));
        let how =
            format!("--{section}-listen {elsewhere} or KEYSTILE_{variable}__LISTEN={elsewhere}");
        match error.kind() {
            ErrorKind::AddrInUse => Advice::new(
                format!("port {port} is taken: {section}.listen is {addr}"),
                format!("stop what listens there, or choose another port: {how}"),
            )
            .into(),
            ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => Advice::new(
                format!("{section}.listen is {addr}, which this process may not use: {error}"),
                format!("choose another address: {how}"),
            )
            .into(),
            _ => anyhow::Error::new(error).context(format!("{section}.listen is {addr}")),
        }
    })
}
