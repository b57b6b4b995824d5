//! Random texts: tickets, cookies, states and PKCE verifiers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use keystile_domain::entropy::{self, Entropy};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What is stored of a random text. 256 random bits need no salt and no slow hash.
pub(crate) type Digest = [u8; 32];

/// 256 random bits as 43 characters of base64url: also a PKCE verifier (RFC 7636 section 4.1).
pub(crate) fn text(entropy: &dyn Entropy) -> SecretString {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(entropy::bytes(entropy));
    URL_SAFE_NO_PAD.encode(*bytes).into()
}

/// The digest of a text.
pub(crate) fn digest(text: &SecretString) -> Digest {
    Sha256::digest(text.expose_secret()).into()
}

/// The challenge of a verifier, method S256 (RFC 7636 section 4.2).
pub(crate) fn challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
