//! The section `[vault]`.

use std::{net::SocketAddr, time::Duration};

use keystile_domain::InvalidSetting;
use keystile_egress::Allow;
use secrecy::SecretString;
use serde::Deserialize;

/// How vault runs. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where its gRPC listens when it runs apart from its callers.
    pub listen: SocketAddr,
    /// Where roles of other processes reach it; several replicas as `https://a:8092,b:8092`.
    pub url: String,
    /// `sqlite://…` or `postgres://…`; absent: a file in the data directory.
    pub database_url: Option<SecretString>,
    /// Addresses of outside apps that may be dialled although they are not public.
    pub allow: Allow,
    /// How long an action may take if its caller sets no deadline, seconds.
    pub action_timeout_seconds: u32,
    /// How long an action may take whatever its caller asks for, seconds.
    pub longest_action_seconds: u32,
    /// The largest answer of an outside app, bytes.
    pub largest_answer_bytes: usize,
    /// How long a deletion waits for the receipt of its cut before it is answered as pending,
    /// seconds.
    pub cut_wait_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8092)),
            url: "https://vault:8092".to_owned(),
            database_url: None,
            allow: Allow::default(),
            action_timeout_seconds: 30,
            longest_action_seconds: 300,
            largest_answer_bytes: 8 << 20,
            cut_wait_seconds: 5,
        }
    }
}

/// The most that can be carried to the gateway, which reads messages of 32 MiB.
pub(crate) const MOST_ANSWER_BYTES: usize = 31 << 20;

impl Config {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the field.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let check = |good: bool, field, problem| {
            if good {
                Ok(())
            } else {
                Err(InvalidSetting { section: "vault", field, rule: problem })
            }
        };
        check(self.action_timeout_seconds > 0, "action_timeout_seconds", "must be at least 1")?;
        check(
            self.longest_action_seconds >= self.action_timeout_seconds,
            "longest_action_seconds",
            "must be at least action_timeout_seconds",
        )?;
        check(
            (1..=MOST_ANSWER_BYTES).contains(&self.largest_answer_bytes),
            "largest_answer_bytes",
            "must be 1 to 32505856",
        )?;
        check(self.cut_wait_seconds > 0, "cut_wait_seconds", "must be at least 1")
    }

    /// The time an action gets: what its caller left it, the default without, never more than the
    /// longest.
    pub(crate) fn action_timeout(&self, asked: Option<Duration>) -> Duration {
        let seconds = |count: u32| Duration::from_secs(count.into());
        asked
            .unwrap_or(seconds(self.action_timeout_seconds))
            .min(seconds(self.longest_action_seconds))
    }

    /// How long a deletion waits for its receipt: not to the end of its caller's time, so that
    /// *pending* still reaches it.
    pub(crate) fn cut_wait(&self, asked: Option<Duration>) -> Duration {
        let own = Duration::from_secs(self.cut_wait_seconds.into());
        asked.map_or(own, |asked| own.min(asked.mul_f32(0.8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_bad_field_is_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let bad = Config { largest_answer_bytes: 0, ..Config::default() };
        let named = bad.validate().expect_err("too small");
        assert_eq!(named.to_string(), "vault.largest_answer_bytes must be 1 to 32505856");
    }

    #[test]
    fn a_caller_cannot_ask_for_more_time_than_there_is() {
        let config = Config::default();
        let hour = Duration::from_hours(1);
        assert_eq!(config.action_timeout(None), Duration::from_secs(30));
        assert_eq!(config.action_timeout(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(config.action_timeout(Some(hour)), Duration::from_mins(5));
        assert_eq!(config.cut_wait(Some(hour)), Duration::from_secs(5));
        let second = Duration::from_secs(1);
        assert!(config.cut_wait(Some(second)) < second);
    }
}
