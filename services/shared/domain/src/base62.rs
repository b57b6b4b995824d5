//! base62 over `0-9A-Za-z`, big-endian, fixed width.
//!
//! Ours because published crates stop at 128 bits and the token's secret has 264.

// Every cast below keeps the low part of a value on purpose: a digit, a remainder, a limb.
#![allow(clippy::cast_possible_truncation)]

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Marks a byte that is no digit.
const NONE: u8 = 0xff;

const DIGITS: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 62 {
        table[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Is this byte one of the 62 digits?
#[must_use]
pub const fn is_digit(byte: u8) -> bool {
    DIGITS[byte as usize] != NONE
}

/// The digit with this value.
///
/// # Panics
/// If `value` is 62 or more.
#[must_use]
pub const fn digit(value: u8) -> u8 {
    ALPHABET[value as usize]
}

/// Writes `bytes` as exactly `W` digits. `W` must be wide enough: `62^W ≥ 256^N`.
#[must_use]
pub fn encode<const N: usize, const W: usize>(bytes: &[u8; N]) -> [u8; W] {
    let mut number = *bytes;
    let mut out = [b'0'; W];
    for place in out.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *place = ALPHABET[remainder as usize];
    }
    out
}

/// Reads exactly `W` digits into `N` bytes; `None` for a byte that is no digit or a value of
/// `256^N` or more.
#[must_use]
pub fn decode<const W: usize, const N: usize>(text: &[u8; W]) -> Option<[u8; N]> {
    // Limbs of 64 bits, least significant first, ten digits (62^10 < 2^60) at a time: this runs
    // on every verification, and digit by digit over bytes is many times slower.
    const LIMBS: usize = 5;
    const DIGITS_AT_ONCE: usize = 10;
    const SCALE: u64 = 62_u64.pow(10);
    let limbs = N.div_ceil(8);
    debug_assert!(limbs <= LIMBS);
    let mut number = [0_u64; LIMBS];
    let mut seen = 0;
    let mut chunk = |digits: &[u8]| {
        digits.iter().fold(0_u64, |chunk, byte| {
            let value = DIGITS[usize::from(*byte)];
            seen |= value;
            chunk * 62 + u64::from(value)
        })
    };
    let (head, rest) = text.split_at(W % DIGITS_AT_ONCE);
    number[0] = chunk(head);
    for digits in rest.chunks_exact(DIGITS_AT_ONCE) {
        let mut carry = chunk(digits);
        for limb in &mut number[..limbs] {
            let value = u128::from(*limb) * u128::from(SCALE) + u128::from(carry);
            *limb = value as u64;
            carry = (value >> 64) as u64;
        }
        if carry != 0 {
            return None;
        }
    }
    // No digit has this bit, and what is none has all.
    if seen & 0x80 != 0 {
        return None;
    }
    let mut wide = [0_u8; LIMBS * 8];
    for (place, limb) in wide.chunks_exact_mut(8).rev().zip(number) {
        place.copy_from_slice(&limb.to_be_bytes());
    }
    let (over, low) = wide.split_at(wide.len() - N);
    if over.iter().any(|byte| *byte != 0) {
        return None;
    }
    low.try_into().ok()
}

/// Writes a value as six digits, which hold any of 32 bits.
#[must_use]
pub fn encode_u32(mut value: u32) -> [u8; 6] {
    let mut out = [b'0'; 6];
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_decodes(bytes in any::<[u8; 33]>()) {
            let text: [u8; 45] = encode(&bytes);
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }

    proptest! {
        #[test]
        fn the_short_way_for_32_bits_writes_the_same(value in any::<u32>()) {
            prop_assert_eq!(encode_u32(value), encode::<4, 6>(&value.to_be_bytes()));
        }
    }

    #[test]
    fn the_first_value_that_does_not_fit_is_refused() {
        let largest: [u8; 45] = encode(&[0xff; 33]);
        assert_eq!(decode::<45, 33>(&largest), Some([0xff; 33]));
        let mut next = largest;
        let last = next.iter_mut().next_back().expect("45 digits");
        assert_ne!(*last, b'z', "the increment below would carry");
        *last = ALPHABET[usize::from(DIGITS[usize::from(*last)]) + 1];
        assert_eq!(decode::<45, 33>(&next), None);
        assert_eq!(decode::<45, 33>(&[b'z'; 45]), None);
    }

    #[test]
    fn every_byte_that_is_no_digit_is_refused() {
        for byte in 0..=255_u8 {
            let mut text = [b'0'; 6];
            text[3] = byte;
            let read = decode::<6, 4>(&text);
            assert_eq!(read.is_some(), byte.is_ascii_alphanumeric(), "{byte}");
        }
    }
}
