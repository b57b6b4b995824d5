//! L2: the cache behind a process's own, by a token's digest. Design §5.3.
//!
//! Owns the trait, its backends and the suite that all of them pass ([`conformance`]).
//!
//! Never: reads what it stores, or is trusted. A value comes sealed and goes sealed; how fresh it
//! is, who wrote it and whether it may be used is for who opens it.

mod breaker;
mod config;
pub mod conformance;
pub mod memory;
pub mod redis;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use keystile_domain::token::Digest;

pub use config::{Config, Error};

/// A cache that may lose anything at any time. A backend that is down or slow has misses, not
/// errors: whoever asks goes on without it.
#[async_trait]
pub trait L2: Send + Sync {
    /// What was put last under `digest`, if it is still here and its time is not over.
    async fn get(&self, digest: &Digest) -> Option<Arc<[u8]>>;

    /// Keeps `value` for `ttl` at most, in place of what was there.
    async fn put(&self, digest: &Digest, value: Arc<[u8]>, ttl: Duration);

    /// Forgets what is under `digest`.
    async fn remove(&self, digest: &Digest);
}
