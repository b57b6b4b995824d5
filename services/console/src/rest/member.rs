//! Members of a body that say one thing where they are absent and another where they are null.

use serde::{Deserialize, Deserializer};

/// A member that may be absent and is not null, unless null is a `T`.
pub(super) fn present<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(from).map(Some)
}

/// A member that may be absent; null is the default of `T`.
pub(super) fn nullable<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(|value| Some(value.unwrap_or_default()))
}
