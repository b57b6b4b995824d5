//! The format of a wrapped data key, the same whoever encrypts it.

use keystile_domain::TeamId;

use crate::{
    aad::{Aad, FORMAT, Purpose},
    data_key::DataKeyId,
    envelope::{NONCE_LEN, TAG_LEN},
    error::Error,
};

const DATA_KEY: Purpose = Purpose::new("data-key");
pub(crate) const KEY_LEN: usize = 32;
pub(crate) const WRAPPED_LEN: usize = 1 + NONCE_LEN + KEY_LEN + TAG_LEN;

/// An encrypted data key and the version of the key that encrypts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The key-encryption key's version.
    pub kek_version: u32,
    /// The encrypted data key: [`Wrapped::parts`] takes it apart.
    pub bytes: Vec<u8>,
}

impl Wrapped {
    /// The bytes that AES-256-GCM authenticates beside a wrapped data key: those of a sealed value
    /// whose row is the data key and whose version is that of the key-encryption key.
    pub fn aad(team: TeamId, id: DataKeyId, version: u32) -> Result<Vec<u8>, Error> {
        Aad { purpose: DATA_KEY, team, row: &id.to_string(), version: version.into() }.encode(id)
    }

    /// What was encrypted outside this crate with AES-256-GCM, a nonce of 12 bytes, a tag of 16 at
    /// the end of `ciphertext`, and [`Wrapped::aad`]. [`Error::Format`] if a length is another.
    pub fn from_parts(version: u32, nonce: &[u8], ciphertext: &[u8]) -> Result<Self, Error> {
        if nonce.len() != NONCE_LEN || ciphertext.len() != KEY_LEN + TAG_LEN {
            return Err(Error::Format);
        }
        let bytes = [&[FORMAT], nonce, ciphertext].concat();
        Ok(Self { kek_version: version, bytes })
    }

    /// Nonce, and ciphertext with its tag.
    pub fn parts(bytes: &[u8]) -> Result<(&[u8; NONCE_LEN], &[u8]), Error> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) if bytes.len() == WRAPPED_LEN => {
                rest.split_first_chunk().ok_or(Error::Format)
            }
            _ => Err(Error::Format),
        }
    }
}
