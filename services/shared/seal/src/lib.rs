//! Envelope encryption at rest, design §9.
//!
//! Owns the format of everything that Keystile stores sealed: a secret is encrypted with its team's
//! data key ([`seal`], [`open`]); the data key is wrapped by a key-encryption key
//! ([`KeyEncryption`], of which [`KekRing`] is the implementation in this process, and
//! `keystile-kms` has those outside of it) and kept as a [`DataKeyRecord`]. The cipher is AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces, which
//! is why a data key counts its uses and is replaced before 2^32.
//!
//! Never: stores anything, reads a key from a file or the environment, or logs. The owner of a
//! store keeps the records, persists their use counts and decides when to rotate.
//!
//! ```text
//! sealed   format (1) = 1 ‖ data key id (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! wrapped  format (1) = 1 ‖ nonce (12) ‖ encrypted data key (32) ‖ tag (16)
//! ```

mod aad;
mod data_key;
mod envelope;
mod error;
mod kek;
mod wrapped;

pub use aad::{Aad, Purpose};
pub use data_key::{DataKey, DataKeyId, DataKeyRecord, USE_LIMIT};
pub use envelope::{data_key_id, open, seal};
pub use error::Error;
pub use kek::{KekRing, KeyEncryption, Several, Source};
pub use wrapped::Wrapped;

/// The bytes of a key: on the heap, wiped when dropped, opaque to `Debug`.
pub type KeyBytes = secrecy::SecretBox<[u8; 32]>;

#[cfg(test)]
mod fixture;
