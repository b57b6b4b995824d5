//! Key-encryption keys: they wrap data keys and nothing else.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use keystile_domain::{Entropy, TeamId};
use secrecy::{ExposeSecret, ExposeSecretMut};

use crate::{
    KeyBytes,
    aad::FORMAT,
    data_key::DataKeyId,
    envelope::{decrypt, encrypt},
    error::Error,
    wrapped::{KEY_LEN, WRAPPED_LEN, Wrapped},
};

/// Whoever holds the key-encryption keys: this process ([`KekRing`]) or a key management service.
/// A wrapped key is bound to its team, its id and the version.
///
/// Which version wraps is not decided here: whoever keeps the data keys decides, so that none is
/// wrapped by a key that other processes do not have yet.
#[async_trait]
pub trait KeyEncryption: Send + Sync + 'static {
    /// The versions that were there when they were last looked for, in order; none once it was told
    /// to forget them.
    fn versions(&self) -> Vec<u32>;

    /// Encrypts a data key with `version`. [`Error::UnknownVersion`] if that is not there,
    /// [`Error::Unavailable`] if it cannot be used now.
    async fn wrap(
        &self,
        version: u32,
        team: TeamId,
        id: DataKeyId,
        key: &KeyBytes,
    ) -> Result<Wrapped, Error>;

    /// Decrypts a data key that `version` encrypted. [`Error::UnknownVersion`] if that version is
    /// gone, [`Error::Refused`] if the bytes are not that key of that team,
    /// [`Error::Unavailable`] if it cannot be used now.
    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, Error>;

    /// Looks for versions that came or went since. What was there stays if that fails.
    async fn refresh(&self) -> Result<(), Error>;

    /// Wipes what of the keys is in this process, which needs them no more: from then on no version
    /// is there.
    fn forget(&self);

    /// The newest of the versions.
    fn newest(&self) -> u32 {
        self.versions().last().copied().unwrap_or_default()
    }
}

/// Where a ring reads its keys.
pub type Source = dyn Fn() -> Result<Vec<(u32, KeyBytes)>, Error> + Send + Sync;

type Keys = BTreeMap<u32, KeyBytes>;

/// Key-encryption keys by version, in this process's memory.
pub struct KekRing {
    keys: RwLock<Arc<Keys>>,
    source: Option<Box<Source>>,
    entropy: Arc<dyn Entropy>,
}

fn collect(keys: impl IntoIterator<Item = (u32, KeyBytes)>) -> Result<Arc<Keys>, Error> {
    let mut ring = Keys::new();
    for (version, key) in keys {
        if ring.insert(version, key).is_some() {
            return Err(Error::DuplicateVersion(version));
        }
    }
    if ring.is_empty() { Err(Error::NoKeys) } else { Ok(Arc::new(ring)) }
}

impl KekRing {
    /// The ring of these keys, which stays as it is. [`Error::NoKeys`] if there is none,
    /// [`Error::DuplicateVersion`] if two claim one version.
    pub fn new(
        keys: impl IntoIterator<Item = (u32, KeyBytes)>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        Ok(Self { keys: RwLock::new(collect(keys)?), source: None, entropy })
    }

    /// The ring of the keys that `source` reads, now and at each refresh; or why it does not.
    pub fn read_from(source: Box<Source>, entropy: Arc<dyn Entropy>) -> Result<Self, Error> {
        let keys = RwLock::new(collect(source()?)?);
        Ok(Self { keys, source: Some(source), entropy })
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn key(keys: &Keys, version: u32) -> Result<&[u8; KEY_LEN], Error> {
    keys.get(&version).map(ExposeSecret::expose_secret).ok_or(Error::UnknownVersion(version))
}

#[async_trait]
impl KeyEncryption for KekRing {
    fn versions(&self) -> Vec<u32> {
        self.keys().keys().copied().collect()
    }

    async fn wrap(
        &self,
        version: u32,
        team: TeamId,
        id: DataKeyId,
        data_key: &KeyBytes,
    ) -> Result<Wrapped, Error> {
        let aad = Wrapped::aad(team, id, version)?;
        let mut bytes = Vec::with_capacity(WRAPPED_LEN);
        bytes.push(FORMAT);
        let keys = self.keys();
        let kek = key(&keys, version)?;
        encrypt(kek, &aad, data_key.expose_secret(), &*self.entropy, &mut bytes)?;
        Ok(Wrapped { kek_version: version, bytes })
    }

    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, Error> {
        let keys = self.keys();
        let kek = key(&keys, version)?;
        let _ = Wrapped::parts(wrapped)?;
        let bytes = decrypt(kek, &Wrapped::aad(team, id, version)?, &wrapped[1..])?;
        let mut data_key = KeyBytes::init_with_mut(|_| {});
        data_key.expose_secret_mut().copy_from_slice(&bytes);
        Ok(data_key)
    }

    async fn refresh(&self) -> Result<(), Error> {
        if let Some(source) = self.source.as_ref().filter(|_| !self.keys().is_empty()) {
            let keys = collect(source()?)?;
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        Ok(())
    }

    fn forget(&self) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}

impl fmt::Debug for KekRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekRing").field("versions", &self.versions()).finish_non_exhaustive()
    }
}

/// Key-encryption keys that several hold, each its own versions: how an installation moves from one
/// to another.
pub struct Several(Vec<Arc<dyn KeyEncryption>>);

impl Several {
    /// All of them. [`Error::NoKeys`] if there is none, [`Error::DuplicateVersion`] if two have one
    /// version.
    pub fn new(holders: Vec<Arc<dyn KeyEncryption>>) -> Result<Self, Error> {
        let several = Self(holders);
        several.check()?;
        Ok(several)
    }

    fn check(&self) -> Result<(), Error> {
        let versions = self.versions();
        if versions.is_empty() {
            return Err(Error::NoKeys);
        }
        let twice = versions.windows(2).find(|pair| pair[0] == pair[1]);
        twice.map_or(Ok(()), |pair| Err(Error::DuplicateVersion(pair[0])))
    }

    fn holder(&self, version: u32) -> Result<&Arc<dyn KeyEncryption>, Error> {
        let mut holders = self.0.iter();
        holders
            .find(|holder| holder.versions().contains(&version))
            .ok_or(Error::UnknownVersion(version))
    }
}

#[async_trait]
impl KeyEncryption for Several {
    fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<_> = self.0.iter().flat_map(|holder| holder.versions()).collect();
        versions.sort_unstable();
        versions
    }

    async fn wrap(
        &self,
        version: u32,
        team: TeamId,
        id: DataKeyId,
        key: &KeyBytes,
    ) -> Result<Wrapped, Error> {
        self.holder(version)?.wrap(version, team, id, key).await
    }

    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, Error> {
        self.holder(version)?.unwrap(team, id, version, wrapped).await
    }

    async fn refresh(&self) -> Result<(), Error> {
        for holder in &self.0 {
            holder.refresh().await?;
        }
        self.check()
    }

    fn forget(&self) {
        for holder in &self.0 {
            holder.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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
    async fn the_version_that_is_asked_for_wraps_and_all_unwrap() {
        let (old, key) = fixture::record(1, &fixture::ring(&[1])).await;
        let ring = fixture::ring(&[1, 2, 3]);
        assert_eq!((ring.versions(), ring.newest()), (vec![1, 2, 3], 3));
        let (new, _) = fixture::record(3, &ring).await;
        assert_eq!((old.kek_version, new.kek_version), (1, 3));
        assert_eq!(old.unwrap(&ring).await.unwrap().expose(), key.expose());
        let gone = old.unwrap(&fixture::ring(&[2, 3])).await;
        assert_eq!(gone.err(), Some(Error::UnknownVersion(1)));
        let absent = ring.wrap(4, fixture::team(1), old.id, &fixture::bytes(1)).await;
        assert_eq!(absent.err(), Some(Error::UnknownVersion(4)));
    }

    #[tokio::test]
    async fn a_wrapped_key_opens_only_as_itself() {
        let ring = fixture::ring(&[1, 2]);
        let (record, _) = fixture::record(2, &ring).await;
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
        let wrapped = ring.wrap(2, team, key.id(), &fixture::bytes(9)).await.unwrap();
        assert_eq!(wrapped, Wrapped { kek_version: 2, bytes: fixture::unhex(KNOWN) });
        let opened = ring.unwrap(team, key.id(), 2, &fixture::unhex(KNOWN)).await.unwrap();
        assert_eq!(opened.expose_secret(), &[9; 32]);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", fixture::ring(&[1, 2])), "KekRing { versions: [1, 2], .. }");
    }

    #[tokio::test]
    async fn a_ring_that_is_read_again_has_what_came_and_keeps_what_it_had_if_that_fails() {
        let written = Arc::new(Mutex::new(Ok(vec![1])));
        let source = {
            let written = Arc::clone(&written);
            move || {
                let versions: Result<Vec<u32>, Error> = written.lock().unwrap().clone();
                Ok(versions?.into_iter().map(|version| (version, fixture::kek(version))).collect())
            }
        };
        let ring = KekRing::read_from(Box::new(source), fixture::entropy()).unwrap();
        let (new, key) = fixture::record(2, &fixture::ring(&[2])).await;
        assert_eq!(new.unwrap(&ring).await.err(), Some(Error::UnknownVersion(2)));
        *written.lock().unwrap() = Ok(vec![1, 2]);
        ring.refresh().await.unwrap();
        assert_eq!(new.unwrap(&ring).await.unwrap().expose(), key.expose());
        for failure in [Err(Error::Unavailable("a test")), Ok(vec![]), Ok(vec![3, 3])] {
            *written.lock().unwrap() = failure;
            assert!(ring.refresh().await.is_err());
            assert_eq!(ring.versions(), [1, 2]);
        }
    }

    #[tokio::test]
    async fn a_ring_that_forgot_its_keys_does_not_read_them_again() {
        let source = || Ok(vec![(1, fixture::kek(1))]);
        let ring = KekRing::read_from(Box::new(source), fixture::entropy()).unwrap();
        let (record, _) = fixture::record(1, &ring).await;
        ring.forget();
        assert_eq!(ring.refresh().await, Ok(()));
        assert_eq!(ring.versions(), []);
        assert_eq!(record.unwrap(&ring).await.err(), Some(Error::UnknownVersion(1)));
    }

    #[tokio::test]
    async fn of_several_each_wraps_its_own_versions_and_none_has_anothers() {
        let holders = |versions: &[&[u32]]| {
            let rings = versions.iter().map(|versions| fixture::ring(versions));
            Several::new(rings.map(|ring| Arc::new(ring) as Arc<dyn KeyEncryption>).collect())
        };
        let several = holders(&[&[3], &[1, 2]]).unwrap();
        assert_eq!(several.versions(), [1, 2, 3]);
        for version in 1..=3 {
            let (record, key) = fixture::record(version, &several).await;
            assert_eq!(record.kek_version, version);
            assert_eq!(record.unwrap(&several).await.unwrap().expose(), key.expose());
        }
        let (gone, _) = fixture::record(4, &fixture::ring(&[4])).await;
        assert_eq!(gone.unwrap(&several).await.err(), Some(Error::UnknownVersion(4)));
        assert_eq!(holders(&[&[1], &[1, 2]]).err(), Some(Error::DuplicateVersion(1)));
        assert_eq!(holders(&[]).err(), Some(Error::NoKeys));
    }
}
