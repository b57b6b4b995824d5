//! The section `[triggers]`.

use std::net::SocketAddr;

use secrecy::SecretString;
use serde::Deserialize;

/// How triggers run. Every field has a default, and every value of its type can work.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where its gRPC listens when it runs apart from its callers.
    pub listen: SocketAddr,
    /// Where roles of other processes reach it; several replicas as `https://a:8093,b:8093`.
    pub url: String,
    /// `sqlite://…` or `postgres://…`; absent: a file in the data directory.
    pub database_url: Option<SecretString>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8093)),
            url: "https://triggers:8093".to_owned(),
            database_url: None,
        }
    }
}
