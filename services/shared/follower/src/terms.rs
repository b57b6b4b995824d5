//! The timing that issuance states and a follower keeps.

use std::time::Duration;

use keystile_contract::{Failure, convert, proto::issuance::v1 as proto};

/// Longer leases would make a cut that waits one out useless.
const MAX_TTL: Duration = Duration::from_mins(1);

/// How long a lease lasts and how often it is renewed. What the two clocks may differ by is
/// issuance's to add: it waits longer than a follower trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseTerms {
    pub(crate) lease_ttl: Duration,
    pub(crate) renew_interval: Duration,
}

impl LeaseTerms {
    /// Reads and checks the message.
    pub(crate) fn read(message: Option<&proto::LeaseTerms>) -> Result<Self, Failure> {
        let message = message.ok_or_else(|| Failure::invalid("terms", "is required"))?;
        let lease_ttl = convert::from_duration(message.lease_ttl.as_ref())
            .filter(|ttl| (Duration::from_millis(1)..=MAX_TTL).contains(ttl))
            .ok_or_else(|| Failure::invalid("terms.lease_ttl", "must be 1 ms to 1 min"))?;
        let renew_interval = convert::from_duration(message.renew_interval.as_ref())
            .filter(|interval| !interval.is_zero() && *interval <= lease_ttl / 2)
            .ok_or_else(|| {
                Failure::invalid("terms.renew_interval", "must be at most half of the lease")
            })?;
        Ok(Self { lease_ttl, renew_interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lease: i64, renew: i64) -> bool {
        let seconds = |seconds: i64| {
            let mut message = convert::duration(Duration::ZERO);
            message.seconds = seconds;
            Some(message)
        };
        let message =
            proto::LeaseTerms { lease_ttl: seconds(lease), renew_interval: seconds(renew) };
        LeaseTerms::read(Some(&message)).is_ok()
    }

    #[test]
    fn terms_that_cannot_keep_a_lease_are_refused() {
        assert!(LeaseTerms::read(None).is_err());
        assert!(read(4, 2));
        for (lease, renew) in [(0, 0), (4, 3), (4, 0), (-4, -2), (61, 1)] {
            assert!(!read(lease, renew), "{lease} {renew}");
        }
    }
}
