//! L1: proven facts by the whole digest of the token that proved them.
//!
//! In `quick_cache`, by measurement (`benches/l1.rs`): with the HMAC before it a look-up among a
//! thousand, a hundred thousand and five million entries took 0.24, 0.85 and 1.5 µs, in moka 0.39,
//! 1.7 and 2.3 µs; of memory besides the entries it takes a quarter of what moka does.

use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use keystile_domain::{ComponentId, Position, SecretId, Tick, facts::KeyFacts, token::Digest};
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};

/// For sizing the table before anything is known of the keys.
const TYPICAL_WEIGHT: u64 = 1024;
/// What the table takes for an entry, bytes: a slot of 56 in a vector that may be half empty, and a
/// place in an index. For every two entries of typical weight it also remembers one that it put out.
const SLOT: u64 = 128;
/// The counts of an `Arc`, bytes.
const ARC: usize = 16;
/// How many elements a node of a B-tree holds at most, and what it takes besides them, bytes.
const TREE_NODE: (usize, usize) = (11, 32);

/// Facts of a key, and which of its secrets the token proved. Facts, never a decision; without the
/// hashes of the secrets, which have served.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) facts: KeyFacts,
    pub(crate) secret: SecretId,
    /// What the facts reflect.
    pub(crate) as_of: Position,
    /// An hour after issuance was asked.
    pub(crate) ends_at: Tick,
    /// Does anything in the facts end by the wall clock? Else [`KeyFacts::decide`] has no use for
    /// it, and reading it would be a tenth of a warm answer.
    pub(crate) ends: bool,
}

impl Entry {
    pub(crate) fn new(
        mut facts: KeyFacts,
        secret: SecretId,
        as_of: Position,
        ends_at: Tick,
    ) -> Self {
        for secret in &mut facts.secrets {
            secret.phc = Box::default();
        }
        let ends = facts.expires_at.is_some()
            || facts.secrets.iter().any(|secret| secret.not_after.is_some());
        Self { facts, secret, as_of, ends_at, ends }
    }

    /// How many bytes of memory it takes, with what the allocator and the table add.
    fn weight(&self) -> u64 {
        let facts = &self.facts;
        let grants = facts.grants.iter().map(|held| {
            let components = held.grant.components();
            let (elements, besides) = TREE_NODE;
            let node = block(elements * size_of::<ComponentId>() + besides);
            let text = components.iter().map(|id| block(id.as_str().len()));
            block(held.grant.app().as_str().len())
                + components.len().div_ceil(elements) * node
                + text.sum::<usize>()
        });
        let bytes = block(ARC + size_of::<Self>())
            + block(facts.name.len())
            + block(size_of_val(&*facts.ip_allow_list))
            + block(size_of_val(&*facts.secrets))
            + block(size_of_val(&*facts.grants))
            + grants.sum::<usize>();
        SLOT + bytes as u64
    }
}

/// What an allocation of `bytes` takes: a header and rounding, as in glibc.
const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Digest, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &Digest, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

/// Takes the first eight bytes of a digest for its hash: they are uniform already, and nobody
/// without the token key can choose them. Equality still compares all 32.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DigestPrefix(u64);

impl BuildHasher for DigestPrefix {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for DigestPrefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(prefix) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*prefix);
        }
    }

    // The length that precedes an array's bytes.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Bounded by the memory that it takes; least useful out first.
pub(crate) struct L1(Cache<Digest, Arc<Entry>, ByBytes, DigestPrefix>);

impl L1 {
    pub(crate) fn new(capacity: u64) -> Self {
        let items = capacity / TYPICAL_WEIGHT;
        let capacity = capacity - items / 2 * SLOT;
        let items = usize::try_from(items).unwrap_or(usize::MAX);
        let hasher = DigestPrefix::default();
        Self(Cache::with(items, capacity, ByBytes, hasher, DefaultLifecycle::default()))
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.0.get(digest)
    }

    pub(crate) fn insert(&self, digest: Digest, entry: Arc<Entry>) {
        self.0.insert(digest, entry);
    }

    /// Removes `entry`, unless another took its place.
    pub(crate) fn remove(&self, digest: &Digest, entry: &Arc<Entry>) {
        self.0.remove_if(digest, |held| Arc::ptr_eq(held, entry));
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use keystile_domain::{
        Environment, KeyId, TeamId, facts::KeyStatus, limits::Limits, log::History,
    };

    use super::*;

    pub(crate) fn entry(name: &str) -> Arc<Entry> {
        let id = "00000000-0000-7000-8000-000000000001".parse().expect("a uuid");
        let facts = KeyFacts {
            key: KeyId::from_uuid(id),
            team: TeamId::from_uuid(id),
            kid: "0123456789abcdef".parse().expect("a kid"),
            name: name.into(),
            environment: Environment::Prod,
            status: KeyStatus::Active,
            team_suspended: false,
            api_access: true,
            expires_at: None,
            ip_allow_list: Box::default(),
            limits: Limits::default(),
            secrets: Box::default(),
            grants: Box::default(),
        };
        let as_of = Position { history: History { database: [1; 16], timeline: 0 }, seq: 1 };
        let ends_at = Tick::from_boot(Duration::from_hours(1));
        Arc::new(Entry::new(facts, SecretId::from_uuid(id), as_of, ends_at))
    }

    #[test]
    fn digests_that_share_a_prefix_do_not_mix() {
        let l1 = L1::new(1 << 20);
        let digests: Vec<_> = (0..32)
            .map(|at| {
                let mut bytes = [7; 32];
                bytes[at] ^= 1;
                Digest::from_bytes(bytes)
            })
            .collect();
        for (at, digest) in digests.iter().enumerate() {
            assert!(l1.get(digest).is_none(), "{at}: taken for one that shares its prefix");
            l1.insert(*digest, entry(&at.to_string()));
        }
        for (at, digest) in digests.iter().enumerate() {
            assert_eq!(*l1.get(digest).expect("kept").facts.name, at.to_string());
        }
        assert!(l1.get(&Digest::from_bytes([7; 32])).is_none());
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let l1 = L1::new(1 << 20);
        let name = "n".repeat(200);
        for n in 0..100_000_u64 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            l1.insert(Digest::from_bytes(bytes), entry(&name));
        }
        assert!(l1.0.weight() <= 1 << 20);
        assert!(l1.0.len() > 1000, "{}", l1.0.len());
    }

    #[test]
    fn only_the_entry_that_was_found_stale_is_removed() {
        let l1 = L1::new(1 << 20);
        let (digest, old, new) = (Digest::from_bytes([1; 32]), entry("old"), entry("new"));
        l1.insert(digest, Arc::clone(&new));
        l1.remove(&digest, &old);
        assert!(l1.get(&digest).is_some());
        l1.remove(&digest, &new);
        assert!(l1.get(&digest).is_none());
    }
}
