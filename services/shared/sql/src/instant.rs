//! Instants at rest: Unix microseconds in a 64-bit integer, the same on both databases.

use time::OffsetDateTime;

use crate::Error;

/// The value to store. Finer than a microsecond is dropped.
#[must_use]
pub fn micros(at: OffsetDateTime) -> i64 {
    // The years that `time` can write fit 64 bits of microseconds.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX)
}

/// The instant stored.
///
/// # Errors
/// [`Error::Corrupt`] if it is outside the calendar.
pub fn from_micros(stored: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(stored) * 1_000)
        .map_err(|_| Error::Corrupt("instant"))
}
