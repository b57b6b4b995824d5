//! The data keys of teams: which one seals, and how a credential is sealed for its place.

mod answer;

use std::{collections::BTreeSet, sync::Arc};

use keystile_domain::{Clock, ConnectionId, Entropy, TeamId};
use keystile_seal::{Aad, DataKeyRecord, KeyEncryption, Purpose};

use crate::{
    credential::Credential,
    error::Error,
    store::{SealedCredential, Store},
};

const CREDENTIAL: Purpose = Purpose::new("connection-credential");

/// Seals and opens credentials. Keeps no data key: it is unwrapped for each use and wiped.
pub(crate) struct Keys {
    store: Arc<dyn Store>,
    kek: Arc<dyn KeyEncryption>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Keys {
    /// Checks that every key-encryption key that stored data keys need is there and is the right
    /// one. Without that, vault must not start: it would refuse calls one by one, and seal new
    /// credentials under a key that the old ones do not know.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        kek: Arc<dyn KeyEncryption>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let mut checked = BTreeSet::new();
        for record in store.data_key_samples().await? {
            record.unwrap(&*kek).await.map_err(Error::KeyEncryption)?;
            checked.insert(record.kek_version);
        }
        tracing::info!(newest = kek.newest(), in_use = ?checked, "key-encryption keys checked");
        Ok(Self { store, kek, clock, entropy })
    }

    /// Seals `credential` as `version` of a connection.
    pub(crate) async fn seal(
        &self,
        team: TeamId,
        connection: ConnectionId,
        version: u64,
        credential: &Credential,
    ) -> Result<SealedCredential, Error> {
        let key = self.counted(team).await?.unwrap(&*self.kek).await?;
        let row = connection.to_string();
        let aad = Aad { purpose: CREDENTIAL, team, row: &row, version };
        let bytes = keystile_seal::seal(&key, &aad, &credential.encode(), &*self.entropy)?;
        Ok(SealedCredential { version, bytes })
    }

    /// A data key of the team whose next use is already counted in the store.
    async fn counted(&self, team: TeamId) -> Result<DataKeyRecord, Error> {
        loop {
            let record = if let Some(record) = self.store.current_data_key(team).await? {
                record
            } else {
                let (record, _) = DataKeyRecord::generate(team, &*self.kek, &*self.entropy).await?;
                self.store.insert_data_key(&record, self.clock.now()).await?;
                record
            };
            if self.store.count_use(team, record.id).await? {
                return Ok(record);
            }
        }
    }

    /// Opens what was sealed as that version of that connection, and nothing else.
    pub(crate) async fn unseal(
        &self,
        team: TeamId,
        connection: ConnectionId,
        sealed: &SealedCredential,
    ) -> Result<Credential, Error> {
        let id = keystile_seal::data_key_id(&sealed.bytes)?;
        let record = self.store.find_data_key(team, id).await?;
        let record = record.ok_or(Error::CorruptCredential)?;
        let key = record.unwrap(&*self.kek).await?;
        let row = connection.to_string();
        let aad = Aad { purpose: CREDENTIAL, team, row: &row, version: sealed.version };
        let plaintext = keystile_seal::open(&key, &aad, &sealed.bytes)?;
        Credential::decode(&plaintext).map_err(|_| Error::CorruptCredential)
    }
}
