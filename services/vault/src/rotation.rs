//! Rotation of keys, for the operator's commands: while processes of vault run, resumable after an
//! end at any point, and safe to run twice at once.
//!
//! A key-encryption key comes into use in three steps. It is *announced*, and every process that
//! runs looks for it and says when it has it. It is *raised*: from then on it wraps, and the store
//! refuses data keys under an older one. Every data key under an older one is *re-wrapped*. Each step
//! can be done again, and nothing is lost between them: the old key unwraps until it is removed.
//!
//! A data key goes out of use in three steps, too. The team gets another one and the old ones seal
//! no more, in one transaction; everything under the old ones is sealed anew; they are removed.
//!
//! Not in the audit trail, which is a team's and has a person as author: a rotation is the
//! installation's, and is logged.

mod data_keys;

use std::{collections::BTreeMap, sync::Arc};

use keystile_domain::{Clock, Entropy};
use keystile_seal::{DataKeyRecord, KeyEncryption};
use keystile_sql::{Database, retried};

pub use self::data_keys::Resealed;
use crate::{
    error::Error,
    keys::LIVE,
    store::{KeyStore, sql::SqlStore},
};

/// How many rows are changed in one transaction.
const BATCH: u64 = 8;

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What this run has changed.
    pub done: u64,
    /// What is left, as far as is known.
    pub left: u64,
}

/// Is told how far something is, after each transaction.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Which key-encryption keys are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The version that wraps; 0 if vault has never run.
    pub wrapping: u32,
    /// The newest version that there is.
    pub newest: u32,
    /// Every version that there is.
    pub versions: Vec<u32>,
    /// How many data keys each version wraps.
    pub data_keys: BTreeMap<u32, u64>,
}

impl State {
    /// Is there a rotation that was begun and not finished?
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.newest > self.wrapping || self.data_keys.range(..self.wrapping).next().is_some()
    }

    /// The versions that neither wrap nor are needed by any data key.
    #[must_use]
    pub fn unneeded(&self) -> Vec<u32> {
        let old = self.versions.iter().copied().filter(|version| *version < self.wrapping);
        old.filter(|version| !self.data_keys.contains_key(version)).collect()
    }
}

/// The keys of one vault, in the hands of its operator.
pub struct Rotation {
    store: Arc<dyn KeyStore>,
    kek: Arc<dyn KeyEncryption>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Rotation {
    /// Opens vault's database beside whoever runs on it.
    ///
    /// # Errors
    /// [`Error::MigrationsPending`]; [`Error::Store`].
    pub async fn open(
        database: Database,
        kek: Arc<dyn KeyEncryption>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let pending = SqlStore::pending(&database).await?;
        if !pending.is_empty() {
            return Err(Error::MigrationsPending(pending));
        }
        Ok(Self { store: Arc::new(SqlStore::new(database)), kek, clock, entropy })
    }

    /// Which key-encryption keys are in use.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn state(&self) -> Result<State, Error> {
        Ok(State {
            wrapping: self.store.wrapping().await?.version,
            newest: self.kek.newest(),
            versions: self.kek.versions(),
            data_keys: self.store.data_key_counts().await?,
        })
    }

    /// Looks for key-encryption keys that came since.
    ///
    /// # Errors
    /// [`Error::Seal`].
    pub async fn refresh(&self) -> Result<(), Error> {
        Ok(self.kek.refresh().await?)
    }

    /// Tells every process that `version` is to wrap next.
    ///
    /// # Errors
    /// [`Error::Seal`] if it is not here; [`Error::Store`].
    pub async fn announce(&self, version: u32) -> Result<(), Error> {
        self.has(version)?;
        Ok(retried(|| self.store.announce(version)).await?)
    }

    /// How many processes run, and how many of them do not have `version` yet.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn processes(&self, version: u32) -> Result<(usize, usize), Error> {
        let readers = self.store.readers(self.clock.now() - LIVE).await?;
        let without = readers.iter().filter(|reader| reader.newest < version).count();
        Ok((readers.len(), without))
    }

    /// Makes `version` the one that wraps.
    ///
    /// # Errors
    /// [`Error::Seal`] if it is not here; [`Error::Store`].
    pub async fn raise(&self, version: u32) -> Result<(), Error> {
        self.has(version)?;
        retried(|| self.store.raise(version)).await?;
        tracing::info!(version, "a key-encryption key wraps from now on");
        Ok(())
    }

    fn has(&self, version: u32) -> Result<(), Error> {
        if self.kek.versions().contains(&version) {
            Ok(())
        } else {
            Err(keystile_seal::Error::UnknownVersion(version).into())
        }
    }

    /// Re-wraps every data key that a version older than the one that wraps does; how many this
    /// run re-wrapped. When it returns there is none left, and none can come.
    ///
    /// # Errors
    /// [`Error::Unopened`] if a data key cannot be unwrapped; those before it stay re-wrapped.
    pub async fn rewrap(&self, watch: Watch<'_>) -> Result<u64, Error> {
        let version = self.store.wrapping().await?.version;
        let mut done = 0;
        loop {
            let (left, batch) = self.store.wrapped_below(version, BATCH).await?;
            watch(Progress { done, left });
            if batch.is_empty() {
                tracing::info!(version, done, "every data key is under one key-encryption key");
                return Ok(done);
            }
            let mut pairs = Vec::with_capacity(batch.len());
            for record in batch {
                pairs.extend(self.rewrapped(record, version).await?);
            }
            done += retried(|| self.store.rewrap(&pairs)).await?;
        }
    }

    async fn rewrapped(
        &self,
        record: DataKeyRecord,
        version: u32,
    ) -> Result<Option<(DataKeyRecord, DataKeyRecord)>, Error> {
        let failed = |cause| Error::Unopened {
            what: "data key",
            id: record.id.to_string(),
            team: record.team,
            cause,
        };
        let after = record.rewrap(version, &*self.kek).await.map_err(failed)?;
        Ok(after.map(|after| (record, after)))
    }
}
