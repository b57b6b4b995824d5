//! Names to addresses.

use std::net::IpAddr;

use async_trait::async_trait;
use hickory_resolver::{ResolverBuilder, TokioResolver};

use crate::error::Error;

/// A name that has no address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name does not resolve")]
pub struct Unresolved;

/// Whoever knows the addresses of names. Its answer is not trusted: each address is checked, and
/// one of those checked is dialled.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, best first.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved>;
}

/// DNS as the system is configured to use it (`/etc/resolv.conf`, `/etc/hosts`).
pub struct SystemResolver(TokioResolver);

impl SystemResolver {
    /// Reads the system's configuration. [`Error::Setup`] if there is none that can be read.
    pub fn new() -> Result<Self, Error> {
        let resolver = TokioResolver::builder_tokio().and_then(ResolverBuilder::build);
        resolver.map(Self).map_err(|cause| {
            tracing::error!(%cause, "the system's dns configuration cannot be used");
            Error::Setup
        })
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let found = self.0.lookup_ip(host).await.map_err(|_| Unresolved)?;
        Ok(found.iter().collect())
    }
}
