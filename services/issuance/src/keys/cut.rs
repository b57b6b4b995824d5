//! Which edits of a key are cuts: decided by what changed, so that no use case can forget to say.

use ipnet::IpNet;
use keystile_domain::facts::KeyStatus;
use time::{Duration, OffsetDateTime};

use crate::store::{KeyRecord, SecretRecord};

/// Longer than any W and than what clocks differ by: after so long, every verifier that still
/// answers has applied a change, whether or not anybody waited for it.
const SURELY_APPLIED: Duration = Duration::minutes(5);

/// Does `after` refuse anything that `before` allowed?
pub(super) fn takes_access_away(
    before: &KeyRecord,
    after: &KeyRecord,
    now: OffsetDateTime,
) -> bool {
    let stopped = after.status != before.status && after.status != KeyStatus::Active;
    let deleted = after.deleted_at.is_some() && before.deleted_at.is_none();
    let narrowed = before.grants.iter().any(|old| !after.grants.iter().any(|new| new.covers(old)));
    let earlier = match (before.expires_at, after.expires_at) {
        (Some(old), Some(new)) => new < old,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    stopped
        || deleted
        || narrowed
        || earlier
        || ips_narrowed(&before.ip_allow_list, &after.ip_allow_list)
        || after.limits.is_below(before.limits)
        || before.secrets.iter().any(|old| secret_cut(old, &after.secrets, now))
}

fn ips_narrowed(before: &[IpNet], after: &[IpNet]) -> bool {
    let covered = |old: &IpNet| after.iter().any(|new| new.contains(old));
    !after.is_empty() && (before.is_empty() || !before.iter().all(covered))
}

/// Does a secret that works now stop before it was going to? A rotation gives the old secret its
/// first end, in the future: that is no cut if every verifier surely knows it by the time it comes.
fn secret_cut(old: &SecretRecord, after: &[SecretRecord], now: OffsetDateTime) -> bool {
    if old.not_after.is_some_and(|end| end <= now) {
        return false;
    }
    let Some(new) = after.iter().find(|new| new.id == old.id) else { return true };
    match (old.not_after, new.not_after) {
        (Some(old), Some(new)) => new < old,
        (None, Some(end)) => end < now + SURELY_APPLIED,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().expect("a block")).collect()
    }

    #[test]
    fn an_ip_list_is_narrowed_when_an_address_is_no_longer_covered() {
        for (before, after, narrowed) in [
            (&[][..], &[][..], false),
            (&[], &["10.0.0.0/8"], true),
            (&["10.0.0.0/8"], &[], false),
            (&["10.0.0.0/8"], &["10.0.0.0/8", "192.0.2.1/32"], false),
            (&["10.1.0.0/16"], &["10.0.0.0/8"], false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], true),
            (&["10.0.0.0/8", "192.0.2.1/32"], &["10.0.0.0/8"], true),
        ] {
            assert_eq!(ips_narrowed(&nets(before), &nets(after)), narrowed, "{before:?} {after:?}");
        }
    }
}
