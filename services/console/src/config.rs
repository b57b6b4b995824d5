//! The section `console` of the configuration.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use keystile_domain::InvalidSetting;
use secrecy::SecretString;
use serde::Deserialize;

/// How the console runs. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// `sqlite://…` or `postgres://…`; absent: a file in the data directory.
    pub database_url: Option<SecretString>,
    /// Proxies whose `X-Forwarded-For` is believed. Empty: the socket's peer is the client.
    pub trusted_proxies: Vec<IpNet>,
    /// How long another service may take for one call, seconds. A cut that is not over by then is
    /// answered as pending.
    pub call_timeout_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            database_url: None,
            trusted_proxies: Vec::new(),
            call_timeout_seconds: 15,
        }
    }
}

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the field.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        // Below a minute, which is as long as a sealed actor is accepted.
        if !(1..=50).contains(&self.call_timeout_seconds) {
            let rule = "must be between 1 and 50";
            return Err(InvalidSetting { section: "console", field: "call_timeout_seconds", rule });
        }
        Ok(())
    }

    pub(crate) const fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.call_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let bad = Config { call_timeout_seconds: 0, ..Config::default() };
        let named = bad.validate().expect_err("too short");
        assert_eq!(named.to_string(), "console.call_timeout_seconds must be between 1 and 50");
        let unknown = serde_json::from_str::<Config>(r#"{"lissten":"127.0.0.1:1"}"#);
        assert!(unknown.expect_err("unknown").to_string().contains("lissten"));
    }
}
