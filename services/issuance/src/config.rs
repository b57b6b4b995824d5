//! The section `issuance` of the configuration.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use keystile_domain::InvalidSetting;
use secrecy::SecretString;
use serde::Deserialize;

use crate::lease::Terms;

/// A follower that is not answered for 10 s is retired: that must be several renewals.
const LONGEST_RENEW_INTERVAL_MS: u64 = 2_500;

/// How issuance runs. Durations are milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where its gRPC listens when it runs apart.
    pub listen: SocketAddr,
    /// Where roles of other processes reach it; several replicas as `https://a:8091,b:8091`.
    pub url: String,
    /// `sqlite://…` or `postgres://…`; absent: a file in the data directory.
    pub database_url: Option<SecretString>,
    /// L: how long the leases last of followers that register from now on. Each keeps the one it was
    /// given.
    pub lease_ttl_ms: u64,
    /// How often followers renew.
    pub renew_interval_ms: u64,
    /// ρ: how far two clocks' rates may differ, in parts per million.
    pub drift_ppm: u32,
    /// ε: what W adds.
    pub margin_ms: u64,
    /// How long a cut waits for its barrier before it is answered as pending; sooner where the
    /// caller's deadline is. Below the 10 s that a call gets whose caller names no deadline.
    pub cut_timeout_ms: u64,
    /// How long vault may take to check a grant.
    pub vault_timeout_ms: u64,
    /// Is this the only process on the database, by an exclusive lock on the `data_dir` that it is
    /// in, and is every follower a task of it? Then no such follower of an earlier run is alive. Set
    /// by whoever holds that lock, never read from a file.
    #[serde(skip)]
    pub embedded: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8091).into(),
            url: "https://issuance:8091".to_owned(),
            database_url: None,
            lease_ttl_ms: 2_000,
            renew_interval_ms: 500,
            drift_ppm: 10_000,
            margin_ms: 100,
            cut_timeout_ms: 8_000,
            vault_timeout_ms: 5_000,
            embedded: false,
        }
    }
}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the first field that cannot be.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let rules = [
            (
                (200..=9_000).contains(&self.lease_ttl_ms),
                "lease_ttl_ms",
                "must be from 200 to 9000",
            ),
            (
                (50..=self.lease_ttl_ms / 2).contains(&self.renew_interval_ms)
                    && self.renew_interval_ms <= LONGEST_RENEW_INTERVAL_MS,
                "renew_interval_ms",
                "must be from 50 to half of lease_ttl_ms, and at most 2500",
            ),
            (
                (1_000..=100_000).contains(&self.drift_ppm),
                "drift_ppm",
                "must be from 1000 to 100000",
            ),
            ((10..=10_000).contains(&self.margin_ms), "margin_ms", "must be from 10 to 10000"),
            (
                (100..=9_900).contains(&self.cut_timeout_ms),
                "cut_timeout_ms",
                "must be from 100 to 9900",
            ),
            (
                self.cut_timeout() > self.terms().wait(),
                "cut_timeout_ms",
                "must be more than W = lease_ttl_ms (1 + drift_ppm / 1000000) + margin_ms, or no \
                 cut that waits for a dead follower is ever answered as done",
            ),
            (self.vault_timeout_ms >= 100, "vault_timeout_ms", "must be at least 100"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, rule)) => Err(InvalidSetting { section: "issuance", field, rule }),
            None => Ok(()),
        }
    }

    pub(crate) const fn terms(&self) -> Terms {
        Terms {
            lease_ttl: Duration::from_millis(self.lease_ttl_ms),
            renew_interval: Duration::from_millis(self.renew_interval_ms),
            drift_ppm: self.drift_ppm,
            margin: Duration::from_millis(self.margin_ms),
        }
    }

    pub(crate) const fn cut_timeout(&self) -> Duration {
        Duration::from_millis(self.cut_timeout_ms)
    }

    pub(crate) const fn vault_timeout(&self) -> Duration {
        Duration::from_millis(self.vault_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_give_the_default_terms() {
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(Config::default().terms(), Terms::default());
    }

    #[test]
    fn lease_settings_are_held_against_each_other_at_their_edges() {
        let refused = |lease_ttl_ms, renew_interval_ms| {
            let config = Config { lease_ttl_ms, renew_interval_ms, ..Config::default() };
            config.validate().err().map(|refused| refused.field)
        };
        for (lease, renew) in [(200, 50), (200, 100), (2_000, 1_000), (7_000, 50), (5_000, 2_500)] {
            assert_eq!(refused(lease, renew), None, "{lease} {renew}");
        }
        for (lease, renew) in [(199, 50), (9_001, 500)] {
            assert_eq!(refused(lease, renew), Some("lease_ttl_ms"), "{lease} {renew}");
        }
        for (lease, renew) in [(200, 49), (200, 101), (2_000, 1_001), (7_000, 2_501)] {
            assert_eq!(refused(lease, renew), Some("renew_interval_ms"), "{lease} {renew}");
        }
    }

    #[test]
    fn a_cut_may_take_longer_than_w() {
        let refused = |drift_ppm, cut_timeout_ms| {
            let config = Config { drift_ppm, cut_timeout_ms, ..Config::default() };
            config.validate().err().map(|refused| refused.field)
        };
        // W is 2,120 ms with the defaults.
        assert_eq!(refused(10_000, 2_121), None);
        assert_eq!(refused(10_000, 2_120), Some("cut_timeout_ms"));
        assert_eq!(refused(100_000, 2_301), None);
        assert_eq!(refused(100_000, 2_300), Some("cut_timeout_ms"));
        for (drift, field) in
            [(999, Some("drift_ppm")), (1_000, None), (100_001, Some("drift_ppm"))]
        {
            assert_eq!(refused(drift, 8_000), field, "{drift}");
        }
    }
}
