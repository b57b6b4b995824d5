//! Secrets: drawn here, kept as digests.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keystile_domain::{Entropy, base62, entropy};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 of a secret of 128 bits or more.
///
/// Maps are keyed by it: a look-up leaks at most how far two digests agree, which says nothing of
/// the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Is this the secret? In constant time.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

/// 128 random bits as [`HALF`] base62 digits.
pub(super) fn half(entropy: &dyn Entropy) -> String {
    let digits = base62::encode::<16, HALF>(&entropy::bytes(entropy));
    digits.into_iter().map(char::from).collect()
}

/// The length of [`half`].
pub(super) const HALF: usize = 22;

/// A prefix that tells secrets apart, and 256 random bits.
pub(super) fn whole(prefix: &str, entropy: &dyn Entropy) -> String {
    format!("{prefix}{}{}", half(entropy), half(entropy))
}

/// Is `challenge` that of `verifier` by S256, RFC 7636 §4.6?
pub(super) fn proves(verifier: &str, challenge: &str) -> bool {
    let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    expected.as_bytes().ct_eq(challenge.as_bytes()).into()
}

/// Can this be a code verifier or a code challenge, RFC 7636 §4.1 and §4.2?
pub(super) fn is_pkce(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_holds() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_pkce(verifier) && is_pkce(challenge));
        assert!(proves(verifier, challenge) && !proves(challenge, challenge));
    }
}
