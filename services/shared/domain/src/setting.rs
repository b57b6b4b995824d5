//! A setting that cannot be.

/// A field of the configuration has a value that cannot work. Names the field, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{section}.{field} {rule}")]
pub struct InvalidSetting {
    /// The section, for example `issuance`.
    pub section: &'static str,
    /// The field, from its section on.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}
