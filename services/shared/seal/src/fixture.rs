//! Keys and ids for the tests of this crate.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use keystile_domain::{Entropy, TeamId};
use uuid::Uuid;

use crate::{DataKey, DataKeyId, DataKeyRecord, KekRing, KeyBytes, KeyEncryption};

/// Counts up: predictable, and never the same twice in a row.
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

pub(crate) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(Counting(AtomicU8::new(0)))
}

pub(crate) fn team(number: u128) -> TeamId {
    TeamId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn bytes(seed: u8) -> KeyBytes {
    KeyBytes::init_with(|| [seed; 32])
}

pub(crate) fn data_key(seed: u8) -> DataKey {
    DataKey::new(DataKeyId::from_uuid(Uuid::from_bytes([seed; 16])), bytes(seed))
}

/// A ring of these versions; a version has the same key in every ring.
pub(crate) fn ring(versions: &[u32]) -> KekRing {
    let keys = versions.iter().map(|version| (*version, kek(*version)));
    KekRing::new(keys, entropy()).unwrap()
}

pub(crate) fn kek(version: u32) -> KeyBytes {
    bytes(0x40 + version.to_be_bytes()[3])
}

pub(crate) async fn record(version: u32, kek: &dyn KeyEncryption) -> (DataKeyRecord, DataKey) {
    DataKeyRecord::generate(team(1), version, kek, &*entropy()).await.unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}
