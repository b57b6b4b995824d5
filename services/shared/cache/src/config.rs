//! The section `[cache]`, and the cache that it asks for.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use keystile_domain::{Clock, InvalidSetting};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    L2,
    memory::Memory,
    redis::{self, Redis},
};

/// Which cache stands behind the verifiers' own. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `memory://`, `redis://[user:password@]host:port`, `rediss://…` over TLS,
    /// `redis-cluster://host:port,host:port`, `rediss-cluster://…`. A Cluster whose
    /// `cluster-require-full-coverage` is off goes on without a node that is gone.
    pub url: SecretString,
    /// A file with the CA of a Redis over TLS, PEM; absent: those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// How long Redis may take to answer, milliseconds; past it, it is done without.
    pub timeout_ms: u64,
    /// What `memory://` holds at most, bytes.
    pub memory_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { url: "memory://".into(), ca_file: None, timeout_ms: 5, memory_bytes: 64 << 20 }
    }
}

/// The cache cannot be made as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number that cannot work.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The URL.
    #[error("cache.url: expected memory:// or a Redis: {0}")]
    Redis(#[from] redis::Error),
    /// The CA's file.
    #[error("cache.ca_file {} cannot be read: {cause}", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
}

impl Config {
    /// Opens the cache. A Redis that does not answer is no error: until it does, everything is a
    /// miss. Needs a runtime.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn L2>, Error> {
        let positive =
            [("timeout_ms", self.timeout_ms > 0), ("memory_bytes", self.memory_bytes > 0)];
        if let Some((field, _)) = positive.into_iter().find(|(_, holds)| !holds) {
            return Err(
                InvalidSetting { section: "cache", field, rule: "must be at least 1" }.into()
            );
        }
        if self.url.expose_secret() == "memory://" {
            return Ok(Arc::new(Memory::new(self.memory_bytes, clock)));
        }
        let ca = self.ca_file.as_ref().map(|path| {
            fs::read(path).map_err(|cause| Error::CaFile { path: path.clone(), cause })
        });
        let settings = redis::Settings {
            url: self.url.clone(),
            ca: ca.transpose()?,
            timeout: Duration::from_millis(self.timeout_ms),
        };
        Ok(Arc::new(Redis::new(&settings, clock)?))
    }
}
