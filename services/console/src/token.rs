//! The text of a management token, and what is kept of it.
//!
//! ```text
//! ksm_<secret><crc>
//!   secret  43 base62 characters = 256 random bits
//!   crc     6 base62 characters: CRC-32 (IEEE) of all characters before it, so that a secret
//!           scanner can tell a real token offline and a typing error costs no look-up
//! ```
//!
//! 256 random bits cannot be guessed, so a plain SHA-256 is enough at rest and can be an index.

use std::fmt;

use keystile_domain::{Entropy, base62, entropy};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "ksm_";
const SECRET_LEN: usize = 43;
const CRC_LEN: usize = 6;
const LEN: usize = PREFIX.len() + SECRET_LEN + CRC_LEN;

/// The SHA-256 of a token's text: how a token is stored and found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest([redacted])")
    }
}

/// Makes a token. The text is shown once; the digest is kept.
pub(crate) fn mint(entropy: &dyn Entropy) -> (SecretString, Digest) {
    let random = Zeroizing::new(entropy::bytes::<32>(entropy));
    let secret = Zeroizing::new(base62::encode::<32, SECRET_LEN>(&random));
    let mut text = Zeroizing::new(String::with_capacity(LEN));
    text.push_str(PREFIX);
    text.extend(secret.iter().copied().map(char::from));
    let crc = crc(&text);
    text.extend(crc.into_iter().map(char::from));
    let digest = digest(&text);
    (SecretString::from(text.as_str()), digest)
}

/// The digest of `text`, if it has the form of a management token and its checksum fits.
pub(crate) fn recognise(text: &str) -> Option<Digest> {
    if text.len() != LEN || !text.starts_with(PREFIX) || !text.is_ascii() {
        return None;
    }
    let (head, checksum) = text.split_at(LEN - CRC_LEN);
    (crc(head) == *checksum.as_bytes()).then(|| digest(text))
}

fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

fn crc(head: &str) -> [u8; CRC_LEN] {
    base62::encode(&crc32fast::hash(head.as_bytes()).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use keystile_testkit::SeededEntropy;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_minted_token_is_recognised_by_its_digest() {
        let (token, digest) = mint(&SeededEntropy::new(7));
        assert_eq!(token.expose_secret().len(), 53);
        assert_eq!(recognise(token.expose_secret()), Some(digest));
    }

    #[test]
    fn the_format_is_pinned() {
        struct Zeros;
        impl Entropy for Zeros {
            fn fill(&self, out: &mut [u8]) {
                out.fill(0);
            }
        }
        let (token, digest) = mint(&Zeros);
        // Computed apart, with zlib's CRC-32 and another SHA-256.
        let expected = "ksm_00000000000000000000000000000000000000000004T47vB";
        assert_eq!(token.expose_secret(), expected);
        assert_eq!(digest.0[..4], [187, 123, 192, 245]);
    }

    #[test]
    fn a_token_altered_in_any_character_is_not_recognised() {
        let (token, _) = mint(&SeededEntropy::new(8));
        for at in 0..LEN {
            for other in ['0', 'z', '_', 'é'] {
                let mut text: Vec<char> = token.expose_secret().chars().collect();
                if text[at] == other {
                    continue;
                }
                text[at] = other;
                assert_eq!(recognise(&text.into_iter().collect::<String>()), None);
            }
        }
        assert_eq!(recognise(""), None);
        assert_eq!(recognise(&format!("{}0", token.expose_secret())), None);
    }
}
