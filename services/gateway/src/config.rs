//! The section `gateway` of the configuration.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use keystile_domain::InvalidSetting;
use serde::Deserialize;
use url::Url;

/// How the gateway listens and what it bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where clients reach it, `https://gateway.example.com`: for the OpenAPI document, for
    /// the links of connect flows, and to know whether browsers come over TLS.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed. Empty: the socket's peer is the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Bounds of one request.
    pub limits: Limits,
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest body, bytes.
    pub body_bytes: usize,
    /// The time for everything done for one request, seconds; passed on to the services behind.
    pub request_timeout_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1024 * 1024, request_timeout_seconds: 30 }
    }
}

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let fault =
            |field, problem| Err(InvalidSetting { section: "gateway", field, rule: problem });
        if let Some(url) = &self.public_url {
            let uri = url.parse::<http::Uri>().ok().filter(|uri| {
                let web = matches!(uri.scheme_str(), Some("http" | "https"));
                web && uri.query().is_none() && Url::parse(url).is_ok()
            });
            if uri.is_none() {
                return fault("public_url", "must be an http or https URL without a query");
            }
        }
        // Vault takes inputs of up to 1 MiB, and the body is never smaller than its inputs.
        if !(1024..=1024 * 1024).contains(&self.limits.body_bytes) {
            return fault("limits.body_bytes", "must be between 1024 and 1048576");
        }
        if !(1..=300).contains(&self.limits.request_timeout_seconds) {
            return fault("limits.request_timeout_seconds", "must be between 1 and 300");
        }
        Ok(())
    }

    /// The time for one request.
    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.limits.request_timeout_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let limits = Limits::default();
        for (config, field) in [
            (Config { public_url: Some("gateway".into()), ..Config::default() }, "public_url"),
            (Config { public_url: Some("ftp://x".into()), ..Config::default() }, "public_url"),
            (
                Config { limits: Limits { body_bytes: 0, ..limits }, ..Config::default() },
                "limits.body_bytes",
            ),
            (
                Config {
                    limits: Limits { request_timeout_seconds: 0, ..limits },
                    ..Config::default()
                },
                "limits.request_timeout_seconds",
            ),
        ] {
            let fault = config.validate().expect_err(field);
            assert_eq!(fault.field, field);
        }
        let unknown = serde_json::from_str::<Config>(r#"{"lissten":"127.0.0.1:1"}"#);
        assert!(unknown.expect_err("unknown").to_string().contains("lissten"));
    }
}
