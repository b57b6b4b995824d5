//! What can go wrong with a token.

use std::path::PathBuf;

use cryptoki::{
    context::Function,
    error::{Error as Cryptoki, RvError},
};

/// Of PKCS #11 3.0, which `cryptoki` does not name.
const CKR_AEAD_DECRYPT_FAILED: u64 = 0x42;

/// A token that cannot be used. Says nothing of PIN, keys or data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library is not there or is none.
    #[error("{} cannot be loaded as a PKCS #11 module", .0.display())]
    Module(PathBuf),
    /// No slot has that token.
    #[error("there is no token with the label {0:?}")]
    NoToken(String),
    /// Two slots have one.
    #[error("there are several tokens with the label {0:?}")]
    SeveralTokens(String),
    /// The PIN is wrong, expired or locked. It is not tried again, or it would be locked.
    #[error("the token refuses the PIN ({0})")]
    Pin(String),
    /// The token has no key-encryption key.
    #[error("the token has no AES-256 key with a label {0}-<version>")]
    NoKeys(String),
    /// Two keys claim one version.
    #[error("the token has two keys with the label {0}")]
    Twice(String),
    /// A key of another length.
    #[error("the token's key {0} is not an AES-256 key")]
    NotAes256(String),
    /// The key is not there any more.
    #[error("the token's key version {0} is gone")]
    Gone(u32),
    /// Authentication failed: altered bytes, a wrong key, or a value moved from its place.
    #[error("a wrapped data key does not belong here or was altered")]
    Refused,
    /// It did not answer in time.
    #[error("the token does not answer")]
    Silent,
    /// A call failed.
    #[error("{call} failed: {code}")]
    Call {
        /// The function of PKCS #11.
        call: String,
        /// The return value.
        code: String,
    },
}

impl Error {
    /// Is the session, or the token behind it, gone, so that another session may help?
    pub(super) fn is_lost_session(error: &Cryptoki) -> bool {
        matches!(
            error,
            Cryptoki::Pkcs11(
                RvError::SessionHandleInvalid
                    | RvError::SessionClosed
                    | RvError::UserNotLoggedIn
                    | RvError::KeyHandleInvalid
                    | RvError::ObjectHandleInvalid
                    | RvError::DeviceError
                    | RvError::DeviceRemoved
                    | RvError::TokenNotPresent
                    | RvError::TokenNotRecognized
                    | RvError::SlotIdInvalid
                    | RvError::CryptokiNotInitialized,
                _
            )
        )
    }
}

impl From<Cryptoki> for Error {
    fn from(error: Cryptoki) -> Self {
        match error {
            Cryptoki::Pkcs11(
                code @ (RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked),
                _,
            ) => Self::Pin(format!("{code:?}")),
            // SoftHSM 2.6 says the last of them.
            Cryptoki::Pkcs11(
                RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::UnknownErrorCode(CKR_AEAD_DECRYPT_FAILED)
                | RvError::GeneralError,
                Function::Decrypt,
            ) => Self::Refused,
            Cryptoki::Pkcs11(code, call) => {
                Self::Call { call: format!("C_{call:?}"), code: format!("{code:?}") }
            }
            other => Self::Call { call: "PKCS #11".to_owned(), code: other.to_string() },
        }
    }
}
