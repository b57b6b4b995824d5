//! The token, design §4.
//!
//! ```text
//! ks_<env>_<kid>_<secret><crc>
//!   kid     16 base62 characters, random: the key's public id
//!   secret  45 base62 characters = 33 bytes: version (1) ‖ random (20) ‖ tag (12)
//!           M   = HMAC-SHA-256(token key of that version,
//!                              "ks1" ‖ env code (1) ‖ kid (16) ‖ version (1) ‖ random (20))
//!           tag = M[0..12]
//!   crc     6 base62 characters: CRC-32 (IEEE) of all characters before it
//! ```
//!
//! HMAC is RFC 2104 over FIPS 180-4 SHA-256, the CRC that of IEEE 802.3. The tag means that a token
//! which this installation did not mint is refused by arithmetic alone; all of M is the key under
//! which caches hold a token's facts.

mod mac;

use std::{collections::BTreeMap, fmt, str::FromStr};

use secrecy::SecretString;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{
    base62,
    entropy::{self, Entropy},
    environment::Environment,
    token::mac::PreparedKey,
};

const KID_LEN: usize = 16;
const RANDOM_LEN: usize = 20;
const TAG_LEN: usize = 12;
const SECRET_BYTES: usize = 1 + RANDOM_LEN + TAG_LEN;
const SECRET_LEN: usize = 45;
const CRC_LEN: usize = 6;

/// The public id of a key: 16 base62 characters, 95 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; KID_LEN]);

/// The text is not a `kid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a kid has 16 characters 0-9, A-Z, a-z")]
pub struct ParseKidError;

impl Kid {
    /// A new one, every character uniform.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut kid = [0; KID_LEN];
        for place in &mut kid {
            // 248 = 4 · 62: taking only bytes below it keeps the digits uniform.
            *place = loop {
                let [byte] = entropy::bytes(entropy);
                if byte < 248 {
                    break base62::digit(byte % 62);
                }
            };
        }
        Self(kid)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The constructors admit ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let kid: [u8; KID_LEN] = bytes.try_into().ok()?;
        kid.iter().all(|byte| base62::is_digit(*byte)).then_some(Self(kid))
    }

    /// The key's public key, `pk_<env>_<kid>`: names the key and opens nothing by itself.
    #[must_use]
    pub fn public_key(&self, environment: Environment) -> String {
        format!("pk_{environment}_{self}")
    }

    /// How lists show the key: `ks_prod_` and the first six characters.
    #[must_use]
    pub fn masked(&self, environment: Environment) -> String {
        format!("ks_{environment}_{}…", &self.as_str()[..6])
    }
}

impl FromStr for Kid {
    type Err = ParseKidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes()).ok_or(ParseKidError)
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All of M: authenticates a token and indexes its facts in caches. As secret as the token's tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The bytes. The first eight are as good a hash as any.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest with these bytes, as a cache returns it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest([redacted])")
    }
}

/// What a genuine token says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genuine {
    /// The environment it was minted for.
    pub environment: Environment,
    /// The public id of its key.
    pub kid: Kid,
    /// The token key that minted it.
    pub token_key_version: u8,
    /// M.
    pub digest: Digest,
}

/// A token that was just minted: the only time that its text exists in Keystile.
#[derive(Debug)]
pub struct Minted {
    /// The text to hand out, once.
    pub text: SecretString,
    /// The token key that minted it.
    pub token_key_version: u8,
}

/// The token keys, by version. The newest mints, all verify.
#[derive(Clone)]
pub struct TokenKeyRing {
    keys: BTreeMap<u8, PreparedKey>,
}

impl fmt::Debug for TokenKeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeyRing").field("versions", &self.keys.keys()).finish_non_exhaustive()
    }
}

/// The keys cannot form a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRing {
    /// There is no key.
    #[error("needs at least one token key")]
    Empty,
    /// Version 0 is never used, so that a zeroed byte is no version.
    #[error("token key versions start at 1")]
    VersionZero,
}

impl TokenKeyRing {
    /// A ring of `(version, 32 random bytes)`.
    ///
    /// # Errors
    /// [`InvalidRing`] if there is no key or a version is 0.
    pub fn new(keys: impl IntoIterator<Item = (u8, [u8; 32])>) -> Result<Self, InvalidRing> {
        let keys: BTreeMap<_, _> = keys
            .into_iter()
            .map(|(version, mut key)| {
                let prepared = PreparedKey::new(&key);
                key.zeroize();
                (version, prepared)
            })
            .collect();
        if keys.is_empty() {
            return Err(InvalidRing::Empty);
        }
        if keys.contains_key(&0) {
            return Err(InvalidRing::VersionZero);
        }
        Ok(Self { keys })
    }

    /// The versions that verify, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u8> {
        self.keys.keys().copied()
    }

    /// The version that mints.
    #[must_use]
    pub fn newest(&self) -> u8 {
        self.keys.last_key_value().map_or(0, |(version, _)| *version)
    }

    fn mac(
        &self,
        version: u8,
        environment: Environment,
        kid: &Kid,
        random: &[u8],
    ) -> Option<[u8; 32]> {
        let mut message = [0; 4 + KID_LEN + 1 + RANDOM_LEN];
        message[..3].copy_from_slice(b"ks1");
        message[3] = environment.code();
        message[4..4 + KID_LEN].copy_from_slice(&kid.0);
        message[4 + KID_LEN] = version;
        message[5 + KID_LEN..].copy_from_slice(random);
        Some(self.keys.get(&version)?.mac(&message))
    }

    /// Mints a token for `kid` under the newest token key.
    pub fn mint(&self, environment: Environment, kid: &Kid, entropy: &dyn Entropy) -> Minted {
        let version = self.newest();
        let mut secret = [0; SECRET_BYTES];
        secret[0] = version;
        entropy.fill(&mut secret[1..=RANDOM_LEN]);
        let mac = self.mac(version, environment, kid, &secret[1..=RANDOM_LEN]).unwrap_or_default();
        secret[1 + RANDOM_LEN..].copy_from_slice(&mac[..TAG_LEN]);
        let mut digits: [u8; SECRET_LEN] = base62::encode(&secret);
        // Sized up front, so that no copy of the secret is left behind by growth.
        let mut text = String::with_capacity(80);
        text.push_str("ks_");
        text.push_str(environment.as_str());
        text.push('_');
        text.push_str(kid.as_str());
        text.push('_');
        text.extend(digits.iter().copied().map(char::from));
        let crc = crc(text.as_bytes());
        text.extend(crc.into_iter().map(char::from));
        digits.zeroize();
        secret.zeroize();
        Minted { text: text.into(), token_key_version: version }
    }

    /// Reads a token and checks that it was minted under a key of this ring: pure computation, no
    /// look-up. `None` says nothing about why: nobody who sends such a text is owed a reason.
    #[must_use]
    pub fn authenticate(&self, text: &str) -> Option<Genuine> {
        let parts = Parts::split(text)?;
        let mut secret: [u8; SECRET_BYTES] = base62::decode(parts.secret)?;
        let (version, random, tag) =
            (secret[0], &secret[1..=RANDOM_LEN], &secret[1 + RANDOM_LEN..]);
        let genuine = self
            .mac(version, parts.environment, &parts.kid, random)
            .filter(|mac| bool::from(mac[..TAG_LEN].ct_eq(tag)))
            .map(|mac| Genuine {
                environment: parts.environment,
                kid: parts.kid,
                token_key_version: version,
                digest: Digest(mac),
            });
        secret.zeroize();
        genuine
    }
}

/// Does `text` have the shape and the checksum of a token? For scanners; says nothing about who
/// minted it.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    Parts::split(text).is_some()
}

struct Parts<'t> {
    environment: Environment,
    kid: Kid,
    secret: &'t [u8; SECRET_LEN],
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Option<Self> {
        let rest = text.as_bytes().strip_prefix(b"ks_")?;
        let (environment, rest) = Environment::ALL.into_iter().find_map(|environment| {
            let rest = rest.strip_prefix(environment.as_str().as_bytes())?;
            Some((environment, rest.strip_prefix(b"_")?))
        })?;
        if rest.len() != KID_LEN + 1 + SECRET_LEN + CRC_LEN || rest[KID_LEN] != b'_' {
            return None;
        }
        let kid = Kid::read(&rest[..KID_LEN])?;
        let (secret, checksum) = rest[KID_LEN + 1..].split_at(SECRET_LEN);
        if crc(&text.as_bytes()[..text.len() - CRC_LEN]) != checksum {
            return None;
        }
        Some(Self { environment, kid, secret: secret.try_into().ok()? })
    }
}

fn crc(text: &[u8]) -> [u8; CRC_LEN] {
    base62::encode_u32(crc32fast::hash(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    /// Counts up: every byte differs from its neighbours.
    struct Counter(Mutex<u8>);

    impl Entropy for Counter {
        fn fill(&self, out: &mut [u8]) {
            let mut next = self.0.lock().expect("not poisoned");
            for byte in out {
                *byte = *next;
                *next = next.wrapping_add(1);
            }
        }
    }

    fn ring() -> TokenKeyRing {
        TokenKeyRing::new([(1, [7; 32]), (2, [9; 32])]).expect("valid")
    }

    fn minted(environment: Environment) -> (Kid, String) {
        let entropy = Counter(Mutex::new(0));
        let kid = Kid::generate(&entropy);
        let token = ring().mint(environment, &kid, &entropy);
        (kid, token.text.expose_secret().to_owned())
    }

    #[test]
    fn a_minted_token_is_genuine_and_has_its_documented_length() {
        for (environment, length) in
            [(Environment::Prod, 76), (Environment::Stg, 75), (Environment::Dev, 75)]
        {
            let (kid, text) = minted(environment);
            assert_eq!(text.len(), length);
            let genuine = ring().authenticate(&text).expect("genuine");
            assert_eq!((genuine.environment, genuine.kid), (environment, kid));
            assert_eq!(genuine.token_key_version, 2);
        }
    }

    #[test]
    fn every_change_of_one_character_is_refused() {
        let (_, text) = minted(Environment::Prod);
        let mut tried = 0;
        for at in 0..text.len() {
            for byte in 0x20..0x7f_u8 {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] == byte {
                    continue;
                }
                bytes[at] = byte;
                let altered = String::from_utf8(bytes).expect("ASCII");
                assert_eq!(ring().authenticate(&altered), None, "{at} {byte}");
                tried += 1;
            }
        }
        assert_eq!(tried, 76 * 94);
    }

    #[test]
    fn a_repaired_checksum_does_not_repair_the_tag() {
        let (_, text) = minted(Environment::Prod);
        for at in 8..text.len() - CRC_LEN {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let end = bytes.len() - CRC_LEN;
            let repaired = crc(&bytes[..end]);
            bytes[end..].copy_from_slice(&repaired);
            let altered = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(ring().authenticate(&altered), None, "{at}");
        }
    }

    #[test]
    fn a_token_of_one_environment_is_none_of_another() {
        let (_, text) = minted(Environment::Stg);
        let moved = text.replacen("ks_stg_", "ks_dev_", 1);
        let body = &moved[..moved.len() - CRC_LEN];
        let repaired = [body.as_bytes(), &crc(body.as_bytes())].concat();
        let repaired = String::from_utf8(repaired).expect("ASCII");
        assert!(is_well_formed(&repaired));
        assert_eq!(ring().authenticate(&repaired), None);
    }

    #[test]
    fn a_token_of_an_unknown_key_version_is_refused() {
        let (_, text) = minted(Environment::Prod);
        let older = TokenKeyRing::new([(1, [7; 32])]).expect("valid");
        assert_eq!(older.authenticate(&text), None);
        let other = TokenKeyRing::new([(2, [8; 32])]).expect("valid");
        assert_eq!(other.authenticate(&text), None);
    }

    #[test]
    fn a_ring_needs_a_key_and_no_version_zero() {
        assert_eq!(TokenKeyRing::new([]).err(), Some(InvalidRing::Empty));
        assert_eq!(TokenKeyRing::new([(0, [1; 32])]).err(), Some(InvalidRing::VersionZero));
    }

    #[test]
    fn debug_shows_no_key_and_no_token() {
        let (_, text) = minted(Environment::Prod);
        let genuine = ring().authenticate(&text).expect("genuine");
        assert_eq!(format!("{:?}", genuine.digest), "Digest([redacted])");
        assert!(!format!("{:?}", ring()).contains('7'));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_genuine(text in "(ks_(prod|stg|dev)_)?[0-9A-Za-z_é]{0,90}") {
            prop_assert_eq!(ring().authenticate(&text), None);
        }
    }
}
