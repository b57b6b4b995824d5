//! What vault keeps of keys: the data keys of teams, the version of the key-encryption key that
//! wraps, which processes have which versions, and what is sealed under a data key.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keystile_domain::TeamId;
use keystile_seal::{DataKeyId, DataKeyRecord, Purpose};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;

/// Which key-encryption key wraps, in every process of vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrapping {
    /// The version that wraps; 0 until the first process has chosen.
    pub(crate) version: u32,
    /// The version that is to wrap next, or the same: processes look for it.
    pub(crate) announced: u32,
}

/// A process that opens credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Its name for as long as it runs.
    pub(crate) id: Uuid,
    /// The newest version that it has.
    pub(crate) newest: u32,
    /// When it last said so.
    pub(crate) seen_at: OffsetDateTime,
}

/// A sealed value, wherever it is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedRow {
    /// What it is sealed for, which says the column, too.
    pub(crate) purpose: Purpose,
    /// The row in its table.
    pub(crate) id: Uuid,
    /// The row, as it is part of what the value is sealed for.
    pub(crate) row: String,
    /// The version, as it is part of what the value is sealed for.
    pub(crate) version: u64,
    /// What `keystile_seal::seal` made.
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for SealedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedRow").field("row", &self.row).finish_non_exhaustive()
    }
}

/// The part of the store that keeps keys. What it promises of data keys it promises against every
/// process that writes at the same time.
#[async_trait]
pub(crate) trait KeyStore: Send + Sync + 'static {
    /// The team's newest data key that may still seal.
    async fn current_data_key(&self, team: TeamId) -> Result<Option<DataKeyRecord>, Error>;

    /// Adds a data key. False, and nothing added, if an older key-encryption key wraps it than the
    /// one that wraps now.
    async fn insert_data_key(
        &self,
        record: &DataKeyRecord,
        created_at: OffsetDateTime,
    ) -> Result<bool, Error>;

    /// The same, and none of the team's other data keys seals any more.
    async fn replace_data_key(
        &self,
        record: &DataKeyRecord,
        created_at: OffsetDateTime,
    ) -> Result<bool, Error>;

    /// Counts more values under a data key. False, and nothing counted, if that is beyond its limit
    /// or it seals no more.
    async fn count_uses(&self, team: TeamId, id: DataKeyId, count: u64) -> Result<bool, Error>;

    /// One data key of the team.
    async fn find_data_key(
        &self,
        team: TeamId,
        id: DataKeyId,
    ) -> Result<Option<DataKeyRecord>, Error>;

    /// One data key for each version of the key-encryption key that any data key needs.
    async fn data_key_samples(&self) -> Result<Vec<DataKeyRecord>, Error>;

    /// How many data keys each version of the key-encryption key wraps.
    async fn data_key_counts(&self) -> Result<BTreeMap<u32, u64>, Error>;

    /// Which key-encryption key wraps.
    async fn wrapping(&self) -> Result<Wrapping, Error>;

    /// Says that `version` is to wrap next. Never goes back.
    async fn announce(&self, version: u32) -> Result<(), Error>;

    /// From now on `version` wraps: when this returns, no data key is added under an older one any
    /// more. Never goes back.
    async fn raise(&self, version: u32) -> Result<(), Error>;

    /// A process runs and has these keys.
    async fn seen(&self, reader: &Reader) -> Result<(), Error>;

    /// The process ends.
    async fn gone(&self, id: Uuid) -> Result<(), Error>;

    /// The processes that were seen at `since` or later.
    async fn readers(&self, since: OffsetDateTime) -> Result<Vec<Reader>, Error>;

    /// Data keys that a key-encryption key older than `version` wraps: how many there are, and the
    /// first of them.
    async fn wrapped_below(
        &self,
        version: u32,
        limit: u64,
    ) -> Result<(u64, Vec<DataKeyRecord>), Error>;

    /// Stores these data keys wrapped anew, each in the place of what it was before, unless that is
    /// not there any more; how many were stored.
    async fn rewrap(&self, pairs: &[(DataKeyRecord, DataKeyRecord)]) -> Result<u64, Error>;

    /// The teams that have data keys, in order.
    async fn teams_with_data_keys(&self) -> Result<Vec<TeamId>, Error>;

    /// The team's data keys that [`KeyStore::replace_data_key`] put out of use.
    async fn retired_data_keys(&self, team: TeamId) -> Result<Vec<DataKeyRecord>, Error>;

    /// What the team has sealed under another data key than `id`: how much there is, and the first
    /// of it.
    async fn sealed_under_others(
        &self,
        team: TeamId,
        id: DataKeyId,
        limit: u64,
    ) -> Result<(u64, Vec<SealedRow>), Error>;

    /// Stores these values sealed anew, each in the place of what it was before, unless that is not
    /// there any more; how many were stored.
    async fn reseal(&self, team: TeamId, pairs: &[(SealedRow, Vec<u8>)]) -> Result<u64, Error>;

    /// Deletes the team's retired data keys under which nothing is sealed; how many these were.
    async fn remove_retired(&self, team: TeamId) -> Result<u64, Error>;
}
