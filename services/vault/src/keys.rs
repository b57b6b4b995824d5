//! The data keys of teams: which one seals, and how a credential is sealed for its place.

mod answer;

use std::{collections::BTreeSet, sync::Arc};

use keystile_domain::{Clock, ConnectionId, Entropy, TeamId};
pub(crate) use keystile_seal::Aad as Place;
use keystile_seal::{DataKeyRecord, KeyEncryption, Purpose};
use zeroize::Zeroizing;

use crate::{
    credential::Credential,
    error::Error,
    store::{SealedCredential, Store},
};

/// The credentials of connections; the row is the connection.
pub(crate) const CREDENTIAL: Purpose = Purpose::new("connection-credential");
/// The clients of integrations; the row is the integration.
pub(crate) const CLIENT: Purpose = Purpose::new("integration-client");
/// What a connect flow must keep to itself; the row is the flow.
pub(crate) const FLOW: Purpose = Purpose::new("connect-flow");

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

    /// Seals `plaintext` as `version` of a row.
    pub(crate) async fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.counted(place.team).await?.unwrap(&*self.kek).await?;
        Ok(keystile_seal::seal(&key, place, plaintext, &*self.entropy)?)
    }

    /// Seals a credential as `version` of a connection.
    pub(crate) async fn seal_credential(
        &self,
        team: TeamId,
        connection: ConnectionId,
        version: u64,
        credential: &Credential,
    ) -> Result<SealedCredential, Error> {
        let row = connection.to_string();
        let place = Place { purpose: CREDENTIAL, team, row: &row, version };
        let bytes = self.seal(&place, &credential.encode()).await?;
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

    /// Opens what was sealed for that place, and nothing else.
    pub(crate) async fn open_sealed(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let id = keystile_seal::data_key_id(sealed)?;
        let record = self.store.find_data_key(place.team, id).await?;
        let key = record.ok_or(Error::CorruptCredential)?.unwrap(&*self.kek).await?;
        Ok(keystile_seal::open(&key, place, sealed)?)
    }

    /// Opens the credential that was sealed as that version of that connection.
    pub(crate) async fn open_credential(
        &self,
        team: TeamId,
        connection: ConnectionId,
        sealed: &SealedCredential,
    ) -> Result<Credential, Error> {
        let row = connection.to_string();
        let place = Place { purpose: CREDENTIAL, team, row: &row, version: sealed.version };
        let plaintext = self.open_sealed(&place, &sealed.bytes).await?;
        Credential::decode(&plaintext).map_err(|_| Error::CorruptCredential)
    }
}
