//! Key-encryption keys: they wrap data keys and nothing else.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use keystile_domain::{Entropy, TeamId};
use secrecy::{ExposeSecret, ExposeSecretMut};
use zeroize::Zeroizing;

use crate::{
    KeyBytes,
    aad::{Aad, FORMAT, Purpose},
    data_key::DataKeyId,
    envelope::{NONCE_LEN, TAG_LEN, decrypt, encrypt},
    error::Error,
};

const DATA_KEY: Purpose = Purpose::new("data-key");
const KEY_LEN: usize = 32;
const WRAPPED_LEN: usize = 1 + NONCE_LEN + KEY_LEN + TAG_LEN;

/// An encrypted data key and the version of the key that encrypts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The key-encryption key's version.
    pub kek_version: u32,
    /// The encrypted data key.
    pub bytes: Vec<u8>,
}

/// Whoever holds the key-encryption keys: this process ([`KekRing`]) or a key management service.
/// A wrapped key is bound to its team and id.
#[async_trait]
pub trait KeyEncryption: Send + Sync + 'static {
    /// The version that wraps from now on.
    fn newest(&self) -> u32;

    /// Encrypts a data key with the newest version.
    async fn wrap(&self, team: TeamId, id: DataKeyId, key: &KeyBytes) -> Result<Wrapped, Error>;

    /// Decrypts a data key that `version` encrypted. [`Error::UnknownVersion`] if that version is
    /// gone, [`Error::Refused`] if the bytes are not that key of that team.
    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, Error>;
}

/// Key-encryption keys by version, in this process's memory. The newest wraps, all unwrap.
pub struct KekRing {
    keys: BTreeMap<u32, KeyBytes>,
    newest: u32,
    entropy: Arc<dyn Entropy>,
}

impl KekRing {
    /// The ring of these keys. [`Error::NoKeys`] if there is none, [`Error::DuplicateVersion`] if
    /// two claim one version.
    pub fn new(
        keys: impl IntoIterator<Item = (u32, KeyBytes)>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let mut ring = BTreeMap::new();
        for (version, key) in keys {
            if ring.insert(version, key).is_some() {
                return Err(Error::DuplicateVersion(version));
            }
        }
        let newest = *ring.keys().next_back().ok_or(Error::NoKeys)?;
        Ok(Self { keys: ring, newest, entropy })
    }

    fn key(&self, version: u32) -> Result<&[u8; KEY_LEN], Error> {
        let key = self.keys.get(&version).ok_or(Error::UnknownVersion(version))?;
        Ok(key.expose_secret())
    }
}

/// A wrapped key is bound like a sealed value whose row is the data key and whose version is that
/// of the key-encryption key.
fn bound(team: TeamId, id: DataKeyId, version: u32) -> Result<Vec<u8>, Error> {
    Aad { purpose: DATA_KEY, team, row: &id.to_string(), version: version.into() }.encode(id)
}

#[async_trait]
impl KeyEncryption for KekRing {
    fn newest(&self) -> u32 {
        self.newest
    }

    async fn wrap(&self, team: TeamId, id: DataKeyId, key: &KeyBytes) -> Result<Wrapped, Error> {
        let aad = bound(team, id, self.newest)?;
        let mut bytes = Vec::with_capacity(WRAPPED_LEN);
        bytes.push(FORMAT);
        encrypt(self.key(self.newest)?, &aad, key.expose_secret(), &*self.entropy, &mut bytes)?;
        Ok(Wrapped { kek_version: self.newest, bytes })
    }

    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, Error> {
        let Some((&FORMAT, rest)) = wrapped.split_first() else {
            return Err(Error::Format);
        };
        let bytes: Zeroizing<Vec<u8>> =
            decrypt(self.key(version)?, &bound(team, id, version)?, rest)?;
        if bytes.len() != KEY_LEN {
            return Err(Error::Format);
        }
        let mut key = KeyBytes::init_with_mut(|_| {});
        key.expose_secret_mut().copy_from_slice(&bytes);
        Ok(key)
    }
}

impl fmt::Debug for KekRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekRing").field("newest", &self.newest).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_ring_without_keys_is_refused() {
        let empty = KekRing::new([], fixture::entropy());
        assert_eq!(empty.err(), Some(Error::NoKeys));
    }

    #[test]
    fn a_version_that_two_keys_claim_is_refused() {
        let keys = [(1, fixture::bytes(1)), (1, fixture::bytes(2))];
        let twice = KekRing::new(keys, fixture::entropy());
        assert_eq!(twice.err(), Some(Error::DuplicateVersion(1)));
    }

    #[tokio::test]
    async fn the_newest_wraps_and_all_unwrap() {
        let (old, key) = fixture::record(&fixture::ring(&[1])).await;
        let ring = fixture::ring(&[1, 2, 3]);
        let (new, _) = fixture::record(&ring).await;
        assert_eq!((old.kek_version, new.kek_version), (1, 3));
        assert_eq!(old.unwrap(&ring).await.unwrap().expose(), key.expose());
        let gone = old.unwrap(&fixture::ring(&[2, 3])).await;
        assert_eq!(gone.err(), Some(Error::UnknownVersion(1)));
    }

    #[tokio::test]
    async fn a_wrapped_key_opens_only_as_itself() {
        let ring = fixture::ring(&[1, 2]);
        let (record, _) = fixture::record(&ring).await;
        assert_eq!(record.wrapped.len(), WRAPPED_LEN);

        let mut foreign = record.clone();
        foreign.team = fixture::team(9);
        let mut renamed = record.clone();
        renamed.id = fixture::data_key(9).id();
        let mut downgraded = record.clone();
        downgraded.kek_version = 1;
        for moved in [foreign, renamed, downgraded] {
            assert_eq!(moved.unwrap(&ring).await.err(), Some(Error::Refused));
        }
        for place in 0..WRAPPED_LEN {
            let mut altered = record.clone();
            altered.wrapped[place] ^= 1;
            assert!(altered.unwrap(&ring).await.is_err(), "byte {place}");
            let mut cut = record.clone();
            cut.wrapped.truncate(place);
            assert!(cut.unwrap(&ring).await.is_err(), "length {place}");
        }
    }

    /// Computed from the documented format with OpenSSL, by Python's `cryptography`.
    const KNOWN: &str = concat!(
        "01000102030405060708090a0b0cd798d4b825fb02940f4d1ad8d452323b94c7",
        "63a940ebe01a90292e931db4f69adae828a0584b04b823c675252126b3",
    );

    #[tokio::test]
    async fn the_format_is_pinned() {
        let ring = fixture::ring(&[1, 2]);
        let key = fixture::data_key(9);
        let team = fixture::team(1);
        let wrapped = ring.wrap(team, key.id(), &fixture::bytes(9)).await.unwrap();
        assert_eq!(wrapped, Wrapped { kek_version: 2, bytes: fixture::unhex(KNOWN) });
        let opened = ring.unwrap(team, key.id(), 2, &fixture::unhex(KNOWN)).await.unwrap();
        assert_eq!(opened.expose_secret(), &[9; 32]);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", fixture::ring(&[1, 2])), "KekRing { newest: 2, .. }");
    }
}
