//! Limits on how much a key is used.

use serde::{Deserialize, Serialize};

/// Limits of one key. Absent means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Requests a calendar month (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_month: Option<u64>,
}

/// A limit of zero: use disable instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit is at least 1; disable the key to allow nothing")]
pub struct ZeroLimit;

impl Limits {
    /// Checks that every limit that is set allows something.
    ///
    /// # Errors
    /// [`ZeroLimit`] if one is zero.
    pub fn validate(self) -> Result<Self, ZeroLimit> {
        if self.requests_per_minute == Some(0) || self.requests_per_month == Some(0) {
            return Err(ZeroLimit);
        }
        Ok(self)
    }

    /// Is any limit lower than in `other`? Lowering one is a cut.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        fn lower<T: Ord + Copy>(new: Option<T>, old: Option<T>) -> bool {
            match (new, old) {
                (Some(new), Some(old)) => new < old,
                (Some(_), None) => true,
                (None, _) => false,
            }
        }
        lower(self.requests_per_minute, other.requests_per_minute)
            || lower(self.requests_per_month, other.requests_per_month)
    }
}
