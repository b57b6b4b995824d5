//! Rules on what people type, shared by create and update.

use ipnet::IpNet;
use keystile_contract::Failure;
use time::OffsetDateTime;

use crate::Error;

/// Networks that an IP list names, at most.
const MAX_NETWORKS: usize = 100;

/// Checks that a key does not expire before it exists.
pub(super) fn expiry(
    field: &str,
    at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    match at {
        Some(at) if at <= now => Err(Failure::invalid(field, "must be in the future").into()),
        _ => Ok(()),
    }
}

/// Checks the size of an IP list, and puts it in order without repeats.
pub(super) fn networks(field: &str, mut list: Vec<IpNet>) -> Result<Vec<IpNet>, Error> {
    if list.len() > MAX_NETWORKS {
        return Err(Failure::invalid(field, "must have at most 100 networks").into());
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}
