//! What this node keeps, and for how long.

use std::time::Duration;

use crate::{l1::L1, negative::Negatives};

/// How long anything is kept, from when issuance was asked. Design §6.2.
pub(crate) const TTL: Duration = Duration::from_hours(1);

pub(crate) struct Caches {
    pub(crate) l1: L1,
    pub(crate) negatives: Negatives,
}

impl Caches {
    pub(crate) fn new(l1_bytes: u64, negative_entries: usize) -> Self {
        Self { l1: L1::new(l1_bytes), negatives: Negatives::new(negative_entries) }
    }
}
