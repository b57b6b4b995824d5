//! Plans: what a team is entitled to. Only the operator sets one.

use serde::{Deserialize, Serialize};

/// A team's entitlements. `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// What people call it.
    pub name: String,
    /// May keys of this team be used and made at all?
    pub api_access: bool,
    /// Keys that are not deleted or revoked, at most.
    #[serde(default)]
    pub max_keys: Option<u32>,
    /// Requests a calendar month (UTC) over all keys.
    #[serde(default)]
    pub monthly_requests: Option<u64>,
}

impl Plan {
    /// The plan of a self-hosted installation: everything, without limit.
    #[must_use]
    pub fn self_hosted() -> Self {
        Self {
            name: "self-hosted".into(),
            api_access: true,
            max_keys: None,
            monthly_requests: None,
        }
    }

    /// Does this plan allow less than `other` in anything a verdict depends on? Setting it is
    /// then a cut.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        let quota_lowered = match (self.monthly_requests, other.monthly_requests) {
            (Some(new), Some(old)) => new < old,
            (Some(_), None) => true,
            (None, _) => false,
        };
        (other.api_access && !self.api_access) || quota_lowered
    }
}
