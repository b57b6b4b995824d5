//! Data keys, deliberately replaced.

use std::collections::BTreeSet;

use keystile_domain::TeamId;
use keystile_seal::{Aad, DataKey, DataKeyId, DataKeyRecord};
use keystile_sql::retried;

use super::{BATCH, Progress, Rotation, Watch};
use crate::{
    error::Error,
    keys::{generate, unwrap},
    store::keys::SealedRow,
};

/// What was done for a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that this run sealed anew.
    pub values: u64,
    /// Is the data key new? Otherwise an earlier run made it.
    pub replaced: bool,
}

impl Rotation {
    /// The teams that have data keys.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn teams(&self) -> Result<Vec<TeamId>, Error> {
        Ok(self.store.teams_with_data_keys().await?)
    }

    /// Gives the team another data key, unless an earlier run did and was not finished, and seals
    /// everything under it. The old ones still open what a process has just read:
    /// [`Rotation::remove_retired`] a little later removes them.
    ///
    /// # Errors
    /// [`Error::Unopened`] if a value cannot be opened; those before it stay sealed anew.
    pub async fn reseal(&self, team: TeamId, watch: Watch<'_>) -> Result<Resealed, Error> {
        let begun = !self.store.retired_data_keys(team).await?.is_empty();
        if !begun {
            self.replace(team).await?;
        }
        let mut done = Resealed { values: 0, replaced: !begun };
        let mut met = BTreeSet::new();
        loop {
            // Another run may have replaced it since.
            let current = match self.store.current_data_key(team).await? {
                Some(current) => current,
                None => self.replace(team).await?,
            };
            let (left, batch) = self.store.sealed_under_others(team, current.id, BATCH).await?;
            watch(Progress { done: done.values, left });
            if batch.is_empty() {
                tracing::info!(%team, values = done.values, "everything is under one data key");
                return Ok(done);
            }
            let count = batch.len() as u64;
            if !retried(|| self.store.count_uses(team, current.id, count)).await? {
                continue;
            }
            let key = unwrap(current, &*self.store, &*self.kek).await?;
            let mut pairs = Vec::with_capacity(batch.len());
            for row in batch {
                match self.resealed(team, &row, &key).await {
                    Ok(after) => pairs.push((row, after)),
                    // Another run was faster; but what is met again has lost its data key.
                    Err(Error::CorruptCredential) if met.insert(row.id) => {}
                    Err(Error::CorruptCredential) => {
                        return Err(unopened(team, &row, keystile_seal::Error::OtherDataKey));
                    }
                    Err(error) => return Err(error),
                }
            }
            done.values += match retried(|| self.store.reseal(team, &pairs)).await {
                Ok(stored) => stored,
                Err(error) => match self.store.find_data_key(team, key.id()).await? {
                    Some(_) => return Err(error.into()),
                    // Another run has replaced and removed it.
                    None => 0,
                },
            };
        }
    }

    /// Seals what was sealed under an old data key since [`Rotation::reseal`]; how much.
    ///
    /// # Errors
    /// As [`Rotation::reseal`].
    pub async fn reseal_rest(&self, team: TeamId) -> Result<u64, Error> {
        if self.store.retired_data_keys(team).await?.is_empty() {
            return Ok(0);
        }
        Ok(self.reseal(team, &|_| {}).await?.values)
    }

    /// Removes the team's old data keys under which nothing is sealed any more; how many.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remove_retired(&self, team: TeamId) -> Result<u64, Error> {
        Ok(retried(|| self.store.remove_retired(team)).await?)
    }

    async fn replace(&self, team: TeamId) -> Result<DataKeyRecord, Error> {
        loop {
            let record = generate(team, &*self.store, &*self.kek, &*self.entropy).await?;
            let now = self.clock.now();
            if retried(|| self.store.replace_data_key(&record, now)).await? {
                return Ok(record);
            }
        }
    }

    /// The value under `key`. [`Error::CorruptCredential`] if what it was under is gone.
    async fn resealed(
        &self,
        team: TeamId,
        row: &SealedRow,
        key: &DataKey,
    ) -> Result<Vec<u8>, Error> {
        let failed = |cause| unopened(team, row, cause);
        let id: DataKeyId = keystile_seal::data_key_id(&row.bytes).map_err(failed)?;
        let old = self.store.find_data_key(team, id).await?.ok_or(Error::CorruptCredential)?;
        let old = unwrap(old, &*self.store, &*self.kek).await?;
        let aad = Aad { purpose: row.purpose, team, row: &row.row, version: row.version };
        let plaintext = keystile_seal::open(&old, &aad, &row.bytes).map_err(failed)?;
        keystile_seal::seal(key, &aad, &plaintext, &*self.entropy).map_err(failed)
    }
}

fn unopened(team: TeamId, row: &SealedRow, cause: keystile_seal::Error) -> Error {
    Error::Unopened { what: row.purpose.as_str(), id: row.row.clone(), team, cause }
}
