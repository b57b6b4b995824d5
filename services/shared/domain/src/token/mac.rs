//! HMAC-SHA-256 (RFC 2104 over FIPS 180-4) of a message that fits one block, under a key prepared
//! once: two compressions. The general implementation takes longer to copy and buffer its state
//! than to hash so short a message, and this runs on every verification.

use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK: usize = 64;

/// The initial hash value, FIPS 180-4 §5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The states after the inner and the outer key block. As secret as the key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct PreparedKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl PreparedKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { inner: padded(key, 0x36), outer: padded(key, 0x5c) }
    }

    /// The MAC of `message`, 55 bytes at most.
    pub(super) fn mac<const N: usize>(&self, message: &[u8; N]) -> [u8; 32] {
        bytes(finish(self.outer, &bytes(finish(self.inner, message))))
    }
}

fn padded(key: &[u8; 32], pad: u8) -> [u32; 8] {
    let mut block = [pad; BLOCK];
    for (place, byte) in block.iter_mut().zip(key) {
        *place ^= byte;
    }
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    block.zeroize();
    state
}

/// Hashes the last block: `message` behind one key block, with its padding (FIPS 180-4 §5.1.1).
fn finish<const N: usize>(mut state: [u32; 8], message: &[u8; N]) -> [u32; 8] {
    const { assert!(N < BLOCK - 8, "the message, its end mark and its length share a block") };
    let mut block = [0; BLOCK];
    block[..N].copy_from_slice(message);
    block[N] = 0x80;
    block[BLOCK - 8..].copy_from_slice(&(8 * (BLOCK + N) as u64).to_be_bytes());
    compress256(&mut state, &[block]);
    state
}

fn bytes(state: [u32; 8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (place, word) in out.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    fn general(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    proptest! {
        #[test]
        fn it_is_the_general_hmac(
            key in any::<[u8; 32]>(),
            short in any::<[u8; 1]>(),
            token in any::<[u8; 41]>(),
            longest in any::<[u8; 55]>(),
        ) {
            let prepared = PreparedKey::new(&key);
            prop_assert_eq!(prepared.mac(&[]), general(&key, &[]));
            prop_assert_eq!(prepared.mac(&short), general(&key, &short));
            prop_assert_eq!(prepared.mac(&token), general(&key, &token));
            prop_assert_eq!(prepared.mac(&longest), general(&key, &longest));
        }
    }
}
