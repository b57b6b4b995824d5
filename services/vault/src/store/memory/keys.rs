//! Keys in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keystile_domain::TeamId;
use keystile_seal::{DataKeyId, DataKeyRecord};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{MemoryStore, page};
use crate::{
    keys::CREDENTIAL,
    store::{
        Error, SealedCredential,
        keys::{KeyStore, Reader, SealedRow, Wrapping},
    },
};

#[derive(Default)]
pub(super) struct Tables {
    data_keys: Vec<DataKeyRecord>,
    retired: Vec<DataKeyId>,
    wrapping: u32,
    announced: u32,
    readers: Vec<Reader>,
}

impl Tables {
    pub(super) fn hold(&self, sealed: &[u8]) -> Result<(), Error> {
        let id = keystile_seal::data_key_id(sealed).map_err(|_| Error::Corrupt("sealed value"))?;
        let held = self.data_keys.iter().any(|key| key.id == id);
        if held { Ok(()) } else { Err(Error::Busy) }
    }

    fn add(&mut self, record: &DataKeyRecord) -> Result<bool, Error> {
        if self.data_keys.iter().any(|key| key.id == record.id) {
            return Err(Error::UniqueViolation);
        }
        let wraps = record.kek_version >= self.wrapping;
        if wraps {
            self.data_keys.push(record.clone());
        }
        Ok(wraps)
    }

    fn seals(&self, key: &DataKeyRecord) -> bool {
        !key.is_spent() && !self.retired.contains(&key.id)
    }
}

fn is_under(sealed: &SealedCredential, id: DataKeyId) -> bool {
    keystile_seal::data_key_id(&sealed.bytes) == Ok(id)
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn current_data_key(&self, team: TeamId) -> Result<Option<DataKeyRecord>, Error> {
        let keys = &self.tables().keys;
        let mut own = keys.data_keys.iter().rev().filter(|key| key.team == team);
        Ok(own.find(|key| keys.seals(key)).cloned())
    }

    async fn insert_data_key(
        &self,
        record: &DataKeyRecord,
        _created_at: OffsetDateTime,
    ) -> Result<bool, Error> {
        self.tables().keys.add(record)
    }

    async fn replace_data_key(
        &self,
        record: &DataKeyRecord,
        _created_at: OffsetDateTime,
    ) -> Result<bool, Error> {
        let keys = &mut self.tables().keys;
        let own: Vec<_> = keys.data_keys.iter().filter(|key| key.team == record.team).collect();
        let own: Vec<_> = own.into_iter().map(|key| key.id).collect();
        let added = keys.add(record)?;
        if added {
            keys.retired.extend(own);
        }
        Ok(added)
    }

    async fn count_uses(&self, team: TeamId, id: DataKeyId, count: u64) -> Result<bool, Error> {
        let keys = &mut self.tables().keys;
        let retired = keys.retired.contains(&id);
        let found = keys.data_keys.iter_mut().find(|key| (key.team, key.id) == (team, id));
        let Some(key) = found.filter(|_| !retired) else { return Ok(false) };
        let counted = DataKeyRecord { uses: key.uses + count - 1, ..key.clone() }.count_use();
        if counted.is_ok() {
            key.uses += count;
        }
        Ok(counted.is_ok())
    }

    async fn find_data_key(
        &self,
        team: TeamId,
        id: DataKeyId,
    ) -> Result<Option<DataKeyRecord>, Error> {
        let keys = &self.tables().keys;
        Ok(keys.data_keys.iter().find(|key| (key.team, key.id) == (team, id)).cloned())
    }

    async fn data_key_samples(&self) -> Result<Vec<DataKeyRecord>, Error> {
        let mut keys = self.tables().keys.data_keys.clone();
        keys.sort_by_key(|key| key.kek_version);
        keys.dedup_by_key(|key| key.kek_version);
        Ok(keys)
    }

    async fn data_key_counts(&self) -> Result<BTreeMap<u32, u64>, Error> {
        let mut counts = BTreeMap::new();
        for key in &self.tables().keys.data_keys {
            *counts.entry(key.kek_version).or_default() += 1;
        }
        Ok(counts)
    }

    async fn wrapping(&self) -> Result<Wrapping, Error> {
        let keys = &self.tables().keys;
        Ok(Wrapping { version: keys.wrapping, announced: keys.announced })
    }

    async fn announce(&self, version: u32) -> Result<(), Error> {
        let keys = &mut self.tables().keys;
        keys.announced = keys.announced.max(version);
        Ok(())
    }

    async fn raise(&self, version: u32) -> Result<(), Error> {
        let keys = &mut self.tables().keys;
        keys.announced = keys.announced.max(version);
        keys.wrapping = keys.wrapping.max(version);
        Ok(())
    }

    async fn seen(&self, reader: &Reader) -> Result<(), Error> {
        let keys = &mut self.tables().keys;
        keys.readers.retain(|known| known.id != reader.id);
        keys.readers.push(reader.clone());
        keys.readers.sort_by_key(|reader| reader.id);
        Ok(())
    }

    async fn gone(&self, id: Uuid) -> Result<(), Error> {
        self.tables().keys.readers.retain(|known| known.id != id);
        Ok(())
    }

    async fn readers(&self, since: OffsetDateTime) -> Result<Vec<Reader>, Error> {
        let tables = self.tables();
        let live = tables.keys.readers.iter().filter(|reader| reader.seen_at >= since);
        Ok(live.cloned().collect())
    }

    async fn wrapped_below(
        &self,
        version: u32,
        limit: u64,
    ) -> Result<(u64, Vec<DataKeyRecord>), Error> {
        let tables = self.tables();
        let keys = tables.keys.data_keys.iter();
        let below = keys.filter(|key| key.kek_version < version);
        Ok((below.clone().count() as u64, page(below.cloned(), limit)))
    }

    async fn rewrap(&self, pairs: &[(DataKeyRecord, DataKeyRecord)]) -> Result<u64, Error> {
        let keys = &mut self.tables().keys.data_keys;
        let mut stored = 0;
        for (before, after) in pairs {
            let same = |key: &&mut DataKeyRecord| {
                (key.id, key.kek_version, &key.wrapped)
                    == (before.id, before.kek_version, &before.wrapped)
            };
            if let Some(key) = keys.iter_mut().find(same) {
                key.kek_version = after.kek_version;
                key.wrapped.clone_from(&after.wrapped);
                stored += 1;
            }
        }
        Ok(stored)
    }

    async fn teams_with_data_keys(&self) -> Result<Vec<TeamId>, Error> {
        let tables = self.tables();
        let mut teams: Vec<_> = tables.keys.data_keys.iter().map(|key| key.team).collect();
        teams.sort_unstable();
        teams.dedup();
        Ok(teams)
    }

    async fn retired_data_keys(&self, team: TeamId) -> Result<Vec<DataKeyRecord>, Error> {
        let keys = &self.tables().keys;
        let own = keys.data_keys.iter().filter(|key| key.team == team);
        let mut own: Vec<_> = own.filter(|key| keys.retired.contains(&key.id)).cloned().collect();
        own.sort_by_key(|key| key.id);
        Ok(own)
    }

    async fn sealed_under_others(
        &self,
        team: TeamId,
        id: DataKeyId,
        limit: u64,
    ) -> Result<(u64, Vec<SealedRow>), Error> {
        let tables = self.tables();
        let own = tables.connections.iter().filter(|row| row.connection.team == team);
        let sealed = own.filter_map(|row| Some((row.connection.id, row.credential.as_ref()?)));
        let others = sealed.filter(|(_, sealed)| !is_under(sealed, id));
        let count = others.clone().count() as u64;
        let rows = others.map(|(connection, sealed)| SealedRow {
            purpose: CREDENTIAL,
            id: connection.as_uuid(),
            row: connection.to_string(),
            version: sealed.version,
            bytes: sealed.bytes.clone(),
        });
        Ok((count, page(rows, limit)))
    }

    async fn reseal(&self, team: TeamId, pairs: &[(SealedRow, Vec<u8>)]) -> Result<u64, Error> {
        let mut tables = self.tables();
        let mut stored = 0;
        for (before, after) in pairs {
            tables.keys.hold(after)?;
            let place = (team, before.id);
            let rows = tables.connections.iter_mut();
            let mut own =
                rows.filter(|row| (row.connection.team, row.connection.id.as_uuid()) == place);
            let credential = own.find_map(|row| row.credential.as_mut());
            let same = credential.filter(|credential| {
                (credential.version, &credential.bytes) == (before.version, &before.bytes)
            });
            if let Some(credential) = same {
                credential.bytes.clone_from(after);
                stored += 1;
            }
        }
        Ok(stored)
    }

    async fn remove_retired(&self, team: TeamId) -> Result<u64, Error> {
        let mut tables = self.tables();
        let tables = &mut *tables;
        let held = |id| {
            let mut sealed = tables.connections.iter().filter_map(|row| row.credential.as_ref());
            sealed.any(|sealed| is_under(sealed, id))
        };
        let keys = &mut tables.keys;
        let before = keys.data_keys.len();
        let retired = &keys.retired;
        keys.data_keys.retain(|key| key.team != team || !retired.contains(&key.id) || held(key.id));
        Ok((before - keys.data_keys.len()) as u64)
    }
}
