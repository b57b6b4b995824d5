//! Names to addresses.

use std::net::IpAddr;

use async_trait::async_trait;
use hickory_resolver::{ResolverBuilder, TokioResolver};

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

/// DNS as the system is configured to use it (`/etc/resolv.conf`, `/etc/hosts`), read once.
pub struct SystemResolver(Option<TokioResolver>);

impl SystemResolver {
    /// Reads the system's configuration. Without one that can be read no name resolves, and a
    /// warning says so: whoever calls literal hosts only, such as the sandbox, needs none.
    #[must_use]
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(ResolverBuilder::build);
        let warn = |cause: &_| tracing::warn!(%cause, "no dns configuration: no name will resolve");
        Self(resolver.inspect_err(warn).ok())
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let resolver = self.0.as_ref().ok_or(Unresolved)?;
        let found = resolver.lookup_ip(host).await.map_err(|_| Unresolved)?;
        Ok(found.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let found = SystemResolver::new().resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
