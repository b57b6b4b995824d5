//! What can go wrong while sealing and opening.

use keystile_domain::ErrorKind;

/// A failure to seal, open, wrap or unwrap. Says nothing of the keys or of the plaintext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ring has no key-encryption key: whoever needs one refuses to start.
    #[error("no key-encryption key is configured")]
    NoKeys,
    /// Two key-encryption keys claim one version.
    #[error("key-encryption key version {0} is configured twice")]
    DuplicateVersion(u32),
    /// The key-encryption key that wrapped this data key is not in the ring.
    #[error("key-encryption key version {0} is not configured")]
    UnknownVersion(u32),
    /// The bytes are too short or of a format that this version does not know.
    #[error("not a sealed value of a known format")]
    Format,
    /// The value was sealed with another data key than the one given.
    #[error("sealed with another data key")]
    OtherDataKey,
    /// Authentication failed: altered bytes, a wrong key, or a value moved from its place.
    #[error("a sealed value does not belong here or was altered")]
    Refused,
    /// The data key has served as often as is safe: generate the next one.
    #[error("the data key has reached its use limit")]
    Spent,
    /// The key-encryption keys cannot be used now; says what stands in the way.
    #[error("the key-encryption keys are unavailable: {0}")]
    Unavailable(&'static str),
    /// The plaintext is longer than AES-GCM can take.
    #[error("the value is too large to seal")]
    TooLarge,
}

impl Error {
    /// What the failure means to whoever called.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKeys | Self::DuplicateVersion(_) | Self::TooLarge => ErrorKind::Invalid,
            Self::Spent => ErrorKind::Exhausted,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            Self::UnknownVersion(_) | Self::Format | Self::OtherDataKey | Self::Refused => {
                ErrorKind::Internal
            }
        }
    }
}
