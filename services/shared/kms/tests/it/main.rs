//! Key-encryption keys in a token, and the promises that every holder of such keys makes.

mod child;
mod conformance;
mod pkcs11;
