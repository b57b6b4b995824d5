//! `Debug` of messages that carry secrets. The list is `SECRET_MESSAGES` in `build.rs`.

use std::fmt;

use crate::proto::{common, issuance, vault, verification};

macro_rules! redacted {
    ($($message:ty),* $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), " [redacted]"))
            }
        }
    )*};
}

redacted!(
    common::v1::Sealed,
    issuance::v1::CreateKeyResponse,
    issuance::v1::RegenerateKeyResponse,
    issuance::v1::RotateKeyResponse,
    issuance::v1::SecretFacts,
    verification::v1::VerifyRequest,
    vault::v1::StaticCredential,
    vault::v1::static_credential::Kind,
    vault::v1::BasicCredential,
    vault::v1::RunActionRequest,
    vault::v1::RunActionResponse,
);
