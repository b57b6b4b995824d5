//! The section `verification` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use keystile_domain::InvalidSetting;
use serde::Deserialize;

/// How verification runs. Durations are milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where its gRPC listens.
    pub listen: SocketAddr,
    /// Where roles of other processes reach it; several replicas as `https://a:8090,b:8090`.
    pub url: String,
    /// What L1 takes at most, bytes: some 0.5 KiB a key and as much for each grant.
    pub l1_bytes: u64,
    /// How many tokens it remembers that are genuine and open nothing.
    pub negative_entries: usize,
    /// How many look-ups may be under way, whoever asks. One more is answered UNAVAILABLE: a flood
    /// of tokens that are not known here holds up others that are not, and none that are.
    pub max_lookups: usize,
    /// How long issuance may take to answer one.
    pub lookup_timeout_ms: u64,
    /// How many secrets may be hashed at once; absent: one a core.
    pub hash_workers: Option<usize>,
    /// How many questions of one stream are worked on at once.
    pub stream_concurrency: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8090).into(),
            url: "https://verification:8090".to_owned(),
            l1_bytes: 256 << 20,
            negative_entries: 100_000,
            max_lookups: 1024,
            lookup_timeout_ms: 2_000,
            hash_workers: None,
            stream_concurrency: 64,
        }
    }
}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the first field that cannot be.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let positive = [
            ("l1_bytes", self.l1_bytes > 0),
            ("negative_entries", self.negative_entries > 0),
            ("max_lookups", self.max_lookups > 0),
            ("lookup_timeout_ms", self.lookup_timeout_ms > 0),
            ("hash_workers", self.hash_workers != Some(0)),
            ("stream_concurrency", self.stream_concurrency > 0),
        ];
        match positive.into_iter().find(|(_, holds)| !holds) {
            Some((field, _)) => {
                Err(InvalidSetting { section: "verification", field, rule: "must be at least 1" })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_zero_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let config = Config { max_lookups: 0, ..Config::default() };
        let message = config.validate().map_err(|error| error.to_string());
        assert_eq!(message, Err("verification.max_lookups must be at least 1".to_owned()));
    }
}
