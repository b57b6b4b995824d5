//! The sockets of a process, taken before anything else is done: a port that is in use is the most
//! common reason not to start.

use std::{io::ErrorKind, net::SocketAddr};

use anyhow::Context as _;
use keystile_runtime::grpc::NotLoopback;
use tokio::net::TcpListener;

use crate::{Settings, advice::Advice};

/// One listener each.
pub(crate) struct Listeners {
    pub(crate) gateway: TcpListener,
    pub(crate) console: TcpListener,
    pub(crate) verification: TcpListener,
    pub(crate) telemetry: TcpListener,
}

impl Listeners {
    pub(crate) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let listeners = Self {
            gateway: bind("gateway", settings.gateway.listen).await?,
            console: bind("console", settings.console.listen).await?,
            verification: bind("verification", settings.verification.listen).await?,
            telemetry: bind("telemetry", settings.telemetry.listen).await?,
        };
        let addr = listeners.verification.local_addr()?;
        if !addr.ip().to_canonical().is_loopback() {
            return Err(NotLoopback(addr)).context("verification.listen");
        }
        Ok(listeners)
    }
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
