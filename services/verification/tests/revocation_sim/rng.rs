//! Randomness of the simulation: each part draws from a stream of its own, so that what one part
//! does shifts no other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub(crate) struct Rng(Mutex<u64>);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// A stream of its own, named by `label`.
    pub(crate) fn fork(&self, label: u64) -> Self {
        let seed = self.next() ^ label.wrapping_mul(0xd134_2543_de82_ef95);
        Self::new(seed)
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn peek(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Below `end`; 0 if that is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Is it one of `permille` in a thousand?
    pub(crate) fn chance(&self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// Milliseconds from `low` to below `high`.
    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low))
    }
}

/// A stream for each name, and of it one for each use: which of two parts is polled first at one
/// instant is tokio's to decide, and changes nothing of what either draws.
#[derive(Debug)]
pub(crate) struct Streams(Rng, Mutex<BTreeMap<String, Rng>>);

impl Streams {
    pub(crate) fn new(rng: Rng) -> Self {
        Self(rng, Mutex::default())
    }

    /// The stream of the next use of `name`.
    pub(crate) fn next(&self, name: &str) -> Rng {
        let mut streams = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(name) {
            return stream.fork(0);
        }
        // By the name alone, not by who came first.
        let label = name.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31) ^ u64::from(byte));
        let stream = Rng::new(self.0.peek() ^ label.wrapping_mul(0xd134_2543_de82_ef95));
        let next = stream.fork(0);
        streams.insert(name.to_owned(), stream);
        next
    }
}
