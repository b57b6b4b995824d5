//! Data keys: one a team, each for fewer than 2^32 values.

use std::fmt;

use keystile_domain::{
    TeamId,
    entropy::{self, Entropy},
};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{KeyBytes, error::Error, kek::KeyEncryption};

/// A data key seals fewer values than this. With random 96-bit nonces the chance of a repeated
/// nonce stays below 2^-32 up to here (NIST SP 800-38D, §8.3).
pub const USE_LIMIT: u64 = 1 << 32;

/// Names a data key. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId(Uuid);

impl DataKeyId {
    /// A new one, random.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(uuid::Builder::from_random_bytes(entropy::bytes(entropy)).into_uuid())
    }

    /// The id with this value, as a database stores it.
    #[must_use]
    pub const fn from_uuid(value: Uuid) -> Self {
        Self(value)
    }

    /// The value, as a database stores it.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A data key, ready for use. Wiped when dropped.
pub struct DataKey {
    id: DataKeyId,
    bytes: KeyBytes,
}

impl DataKey {
    pub(crate) const fn new(id: DataKeyId, bytes: KeyBytes) -> Self {
        Self { id, bytes }
    }

    /// Its id, which every value that it seals carries.
    #[must_use]
    pub const fn id(&self) -> DataKeyId {
        self.id
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.bytes.expose_secret()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}, [redacted])", self.id)
    }
}

/// A data key at rest: what a store keeps, one row a data key.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKeyRecord {
    /// The data key's id.
    pub id: DataKeyId,
    /// The team whose values it seals.
    pub team: TeamId,
    /// The key-encryption key that wraps it.
    pub kek_version: u32,
    /// The data key, encrypted.
    pub wrapped: Vec<u8>,
    /// How many values it has sealed, or may have: the store persists it before a value is sealed.
    pub uses: u64,
}

impl DataKeyRecord {
    /// A new data key for `team`, unused, wrapped by that version of the key-encryption key.
    pub async fn generate(
        team: TeamId,
        kek_version: u32,
        kek: &dyn KeyEncryption,
        entropy: &dyn Entropy,
    ) -> Result<(Self, DataKey), Error> {
        let id = DataKeyId::generate(entropy);
        let bytes = KeyBytes::init_with_mut(|bytes| entropy.fill(bytes));
        let wrapped = kek.wrap(kek_version, team, id, &bytes).await?;
        let record =
            Self { id, team, kek_version: wrapped.kek_version, wrapped: wrapped.bytes, uses: 0 };
        Ok((record, DataKey::new(id, bytes)))
    }

    /// The data key, unwrapped. Refused if the record was altered or belongs to another team.
    pub async fn unwrap(&self, kek: &dyn KeyEncryption) -> Result<DataKey, Error> {
        let bytes = kek.unwrap(self.team, self.id, self.kek_version, &self.wrapped).await?;
        Ok(DataKey::new(self.id, bytes))
    }

    /// The same data key under that version of the key-encryption key; `None` if it is under it or a
    /// newer one already, so that a re-wrap which was interrupted can simply run again.
    pub async fn rewrap(
        &self,
        kek_version: u32,
        kek: &dyn KeyEncryption,
    ) -> Result<Option<Self>, Error> {
        if self.kek_version >= kek_version {
            return Ok(None);
        }
        let key = self.unwrap(kek).await?;
        let wrapped = kek.wrap(kek_version, self.team, self.id, &key.bytes).await?;
        Ok(Some(Self { kek_version: wrapped.kek_version, wrapped: wrapped.bytes, ..self.clone() }))
    }

    /// Counts one more value, which may be sealed once the new count is stored. [`Error::Spent`]
    /// at the limit: the team needs its next data key.
    pub const fn count_use(&mut self) -> Result<(), Error> {
        if self.is_spent() {
            return Err(Error::Spent);
        }
        self.uses += 1;
        Ok(())
    }

    /// Whether it may seal no more. It still opens what it sealed.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.uses >= USE_LIMIT - 1
    }
}

impl fmt::Debug for DataKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeyRecord")
            .field("id", &self.id)
            .field("team", &self.team)
            .field("kek_version", &self.kek_version)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn a_data_key_seals_fewer_than_two_to_the_32_values() {
        let (mut record, _) = fixture::record(1, &fixture::ring(&[1])).await;
        record.uses = USE_LIMIT - 2;
        assert_eq!(record.count_use(), Ok(()));
        assert_eq!(record.uses, USE_LIMIT - 1);
        assert_eq!(record.count_use(), Err(Error::Spent));
        assert_eq!(record.uses, USE_LIMIT - 1);
    }

    #[tokio::test]
    async fn rewrapping_keeps_the_data_key_and_can_run_again() {
        let (record, key) = fixture::record(1, &fixture::ring(&[1])).await;
        let both = fixture::ring(&[1, 2]);
        let moved = record.rewrap(2, &both).await.unwrap().expect("an older wrap");
        assert_eq!(moved.kek_version, 2);
        assert_eq!(moved.unwrap(&fixture::ring(&[2])).await.unwrap().expose(), key.expose());
        assert_eq!(moved.rewrap(2, &both).await, Ok(None));
        assert_eq!(moved.rewrap(1, &both).await, Ok(None), "never back to an older one");
        assert_eq!(record.unwrap(&both).await.unwrap().expose(), key.expose());
    }

    #[tokio::test]
    async fn debug_shows_no_key() {
        let (record, key) = fixture::record(1, &fixture::ring(&[1])).await;
        assert_eq!(format!("{key:?}"), format!("DataKey({}, [redacted])", record.id));
        let shown = format!("{record:?}");
        assert!(!shown.contains("wrapped"), "{shown}");
    }
}
