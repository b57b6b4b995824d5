//! The timing that both sides of a lease count with, design §6.

use std::time::Duration;

/// L, the renewal interval, ρ and ε.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// L: how long a lease lasts after its renewal was sent.
    pub lease_ttl: Duration,
    /// How often followers renew.
    pub renew_interval: Duration,
    /// ρ: how far the rates of two clocks may differ, in parts per million.
    pub drift_ppm: u32,
    /// ε: what [`Terms::wait`] adds for rounding and scheduling.
    pub margin: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(2),
            renew_interval: Duration::from_millis(500),
            drift_ppm: 10_000,
            margin: Duration::from_millis(100),
        }
    }
}

impl Terms {
    /// W for the leases that are given now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait_for(self.lease_ttl)
    }

    /// W = L(1+ρ)+ε: after this long on the coordinator's clock, every lease of this L that was
    /// current at the start has run out on its holder's clock.
    #[must_use]
    pub fn wait_for(&self, lease_ttl: Duration) -> Duration {
        let drift = lease_ttl.saturating_mul(self.drift_ppm) / 1_000_000;
        lease_ttl + drift + self.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_of_the_defaults_is_the_one_of_the_design() {
        assert_eq!(Terms::default().wait(), Duration::from_millis(2_120));
    }
}
