//! Key-encryption keys that never enter this process: those of a key management service.
//!
//! Owns [`Pkcs11`], for tokens that speak PKCS #11 2.40 or later: hardware security modules, and
//! SoftHSM in tests. Another service is another implementation of [`keystile_seal::KeyEncryption`].
//!
//! Never: makes, exports or deletes a key-encryption key, reads configuration, or says a PIN. A data
//! key passes through this process all the same: it is made here, and seals here.

mod pkcs11;

pub use pkcs11::{Error, Pkcs11, Settings};
