//! The sealed value.

use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce, Tag, aead::AeadInOut};
use keystile_domain::entropy::{self, Entropy};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    aad::{Aad, FORMAT},
    data_key::{DataKey, DataKeyId},
    error::Error,
};

pub(crate) const NONCE_LEN: usize = 12;
pub(crate) const TAG_LEN: usize = 16;
const ID_LEN: usize = 16;
const HEADER_LEN: usize = 1 + ID_LEN;

/// Encrypts `plaintext` for the place `aad`. The result carries the id of the data key.
///
/// Count the use in the data key's record, and store the count, first.
pub fn seal(
    key: &DataKey,
    aad: &Aad<'_>,
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Error> {
    let aad = aad.encode(key.id())?;
    let mut out = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plaintext.len() + TAG_LEN);
    out.push(FORMAT);
    out.extend_from_slice(key.id().as_uuid().as_bytes());
    encrypt(key.expose(), &aad, plaintext, entropy, &mut out)?;
    Ok(out)
}

/// Decrypts what [`seal`] made for the same place with the same data key, and nothing else.
pub fn open(key: &DataKey, aad: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if data_key_id(sealed)? != key.id() {
        return Err(Error::OtherDataKey);
    }
    decrypt(key.expose(), &aad.encode(key.id())?, &sealed[HEADER_LEN..])
}

/// The data key that a sealed value asks for. Not yet authenticated: [`open`] does that.
pub fn data_key_id(sealed: &[u8]) -> Result<DataKeyId, Error> {
    match sealed.split_first_chunk::<HEADER_LEN>() {
        Some(([FORMAT, id @ ..], rest)) if rest.len() >= NONCE_LEN + TAG_LEN => {
            Ok(DataKeyId::from_uuid(Uuid::from_bytes(*id)))
        }
        _ => Err(Error::Format),
    }
}

/// Appends nonce, ciphertext and tag. `out` has room for them, so that growing it leaves no copy
/// of the plaintext behind.
pub(crate) fn encrypt(
    key: &[u8; 32],
    aad: &[u8],
    plaintext: &[u8],
    entropy: &dyn Entropy,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    if plaintext.len() as u64 > aes_gcm::P_MAX {
        return Err(Error::TooLarge);
    }
    let nonce: [u8; NONCE_LEN] = entropy::bytes(entropy);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = encrypt_in_place(key, nonce, aad, &mut out[start..]);
    wipe_stack();
    out.extend_from_slice(&tag.ok_or(Error::TooLarge)?);
    Ok(())
}

/// The plaintext of nonce, ciphertext and tag.
pub(crate) fn decrypt(
    key: &[u8; 32],
    aad: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(Error::Format)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Error::Format)?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let opened = decrypt_in_place(key, *nonce, aad, &mut plaintext, *tag);
    wipe_stack();
    opened.map(|()| plaintext).ok_or(Error::Refused)
}

#[inline(never)]
fn encrypt_in_place(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
) -> Option<[u8; TAG_LEN]> {
    let tag = cipher(key).encrypt_inout_detached(&Nonce::from(nonce), aad, text.into());
    tag.ok().map(Into::into)
}

#[inline(never)]
fn decrypt_in_place(
    key: &[u8; 32],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    text: &mut [u8],
    tag: [u8; TAG_LEN],
) -> Option<()> {
    let tag = Tag::from(tag);
    cipher(key).decrypt_inout_detached(&Nonce::from(nonce), aad, text.into(), &tag).ok()
}

/// Overwrites what a function that its caller has just called left on the stack: the cipher wipes its
/// state, which begins with the key, but not the places from which that was moved. Without
/// optimisation it reaches some 25 KiB down.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is to cover the stack")]
fn wipe_stack() {
    let mut below = [0_u8; 64 << 10];
    below.zeroize();
    std::hint::black_box(&below);
}

/// The cipher borrows the key while it derives its own state, which it wipes when dropped.
fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(<&Key<Aes256Gcm>>::from(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{aad::Purpose, fixture};

    const CREDENTIAL: Purpose = Purpose::new("credential");
    const STATE: Purpose = Purpose::new("oauth-state");

    fn place() -> Aad<'static> {
        Aad { purpose: CREDENTIAL, team: fixture::team(1), row: "conn_1", version: 7 }
    }

    fn sealed(plaintext: &[u8]) -> Vec<u8> {
        seal(&fixture::data_key(1), &place(), plaintext, &*fixture::entropy()).unwrap()
    }

    /// Computed from the documented format with another implementation of AES-GCM (OpenSSL, by
    /// Python's `cryptography`). If it changes, nothing that is stored can be opened any more.
    const KNOWN: &str = concat!(
        "0101010101010101010101010101010101000102030405060708090a0bc8d1fa",
        "5444986f0a962c73e04aa4c9e7cb51bd13b458725d1f",
    );

    #[test]
    fn the_format_is_pinned() {
        assert_eq!(sealed(b"swordfish"), fixture::unhex(KNOWN));
        let plaintext = open(&fixture::data_key(1), &place(), &fixture::unhex(KNOWN)).unwrap();
        assert_eq!(&**plaintext, b"swordfish");
    }

    #[test]
    fn a_value_opens_only_in_its_place() {
        let key = fixture::data_key(1);
        let sealed = sealed(b"swordfish");
        for moved in [
            Aad { purpose: STATE, ..place() },
            Aad { team: fixture::team(2), ..place() },
            Aad { row: "conn_2", ..place() },
            Aad { version: 8, ..place() },
        ] {
            assert_eq!(open(&key, &moved, &sealed).err(), Some(Error::Refused), "{moved:?}");
        }
    }

    #[test]
    fn a_value_opens_only_with_its_key() {
        let sealed = sealed(b"swordfish");
        let other = open(&fixture::data_key(2), &place(), &sealed);
        assert_eq!(other.err(), Some(Error::OtherDataKey));
        let same_id = DataKey::new(fixture::data_key(1).id(), fixture::bytes(2));
        assert_eq!(open(&same_id, &place(), &sealed).err(), Some(Error::Refused));
    }

    #[test]
    fn a_value_altered_in_any_bit_is_refused() {
        let key = fixture::data_key(1);
        let sealed = sealed(b"swordfish");
        for place_of_bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[place_of_bit / 8] ^= 1 << (place_of_bit % 8);
            assert!(open(&key, &place(), &altered).is_err(), "bit {place_of_bit}");
        }
    }

    #[test]
    fn a_value_cut_or_extended_is_refused() {
        let key = fixture::data_key(1);
        let mut sealed = sealed(b"swordfish");
        for length in 0..sealed.len() {
            assert!(open(&key, &place(), &sealed[..length]).is_err(), "length {length}");
        }
        sealed.push(0);
        assert!(open(&key, &place(), &sealed).is_err());
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let entropy = fixture::entropy();
        let key = fixture::data_key(1);
        let one = seal(&key, &place(), b"swordfish", &*entropy).unwrap();
        assert_ne!(one, seal(&key, &place(), b"swordfish", &*entropy).unwrap());
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(
            plaintext in prop::collection::vec(any::<u8>(), 0..2_000),
            row in "\\PC{0,40}",
            version: u64,
            team: u128,
        ) {
            let key = fixture::data_key(1);
            let aad = Aad { purpose: STATE, team: fixture::team(team), row: &row, version };
            let sealed = seal(&key, &aad, &plaintext, &*fixture::entropy()).unwrap();
            prop_assert_eq!(data_key_id(&sealed), Ok(key.id()));
            prop_assert_eq!(&*open(&key, &aad, &sealed).unwrap(), &plaintext);
        }
    }
}
