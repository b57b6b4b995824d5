//! Rules on what people type, shared by create and update.

use ipnet::IpNet;
use keystile_contract::Failure;
use time::OffsetDateTime;

use crate::{Error, service::as_stored};

/// Networks that an IP list names, at most.
const MAX_NETWORKS: usize = 100;

/// Checks that a key does not expire before it exists. Returns the end as finely as it is stored:
/// a repeat of a change then finds nothing to change, and waits for the cut that it may be.
pub(super) fn expiry(
    field: &str,
    at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, Error> {
    match at.map(as_stored) {
        Some(at) if at <= now => Err(Failure::invalid(field, "must be in the future").into()),
        at => Ok(at),
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
