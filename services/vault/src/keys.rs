//! The data keys of teams: which one seals, and how a credential is sealed for its place.

mod answer;
mod reader;

use std::{collections::BTreeSet, sync::Arc};

use keystile_domain::{Clock, ConnectionId, Entropy, TeamId};
pub(crate) use keystile_seal::Aad as Place;
use keystile_seal::{DataKey, DataKeyRecord, KeyEncryption, Purpose};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use self::{answer::ANSWER, reader::LIVE};
use crate::{
    credential::Credential,
    error::Error,
    store::{KeyStore, SealedCredential},
};

/// The credentials of connections; the row is the connection.
pub(crate) const CREDENTIAL: Purpose = Purpose::new("connection-credential");
/// The clients of integrations; the row is the integration.
pub(crate) const CLIENT: Purpose = Purpose::new("integration-client");
/// What a connect flow must keep to itself; the row is the flow.
pub(crate) const FLOW: Purpose = Purpose::new("connect-flow");

/// Seals and opens credentials. Keeps no data key: it is unwrapped for each use and wiped.
pub(crate) struct Keys {
    store: Arc<dyn KeyStore>,
    kek: Arc<dyn KeyEncryption>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// This process, as the store knows it.
    id: Uuid,
}

impl Keys {
    /// Checks that every key-encryption key that is needed is there and is the right one. Without
    /// that, vault must not start: it would refuse calls one by one, and seal new credentials under
    /// a key that the old ones do not know.
    pub(crate) async fn open(
        store: Arc<dyn KeyStore>,
        kek: Arc<dyn KeyEncryption>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        if store.wrapping().await?.version == 0 {
            store.raise(kek.newest()).await?;
        }
        let wrapping = store.wrapping().await?.version;
        if !kek.versions().contains(&wrapping) {
            let unknown = keystile_seal::Error::UnknownVersion(wrapping);
            return Err(Error::KeyEncryption(unknown));
        }
        let id = keystile_domain::entropy::bytes(&*entropy);
        let id = uuid::Builder::from_random_bytes(id).into_uuid();
        let keys = Self { store, kek, clock, entropy, id };
        let mut checked = BTreeSet::new();
        for record in keys.store.data_key_samples().await? {
            let version = record.kek_version;
            match keys.unwrap(record).await {
                Ok(_) => checked.insert(version),
                Err(Error::Seal(error)) => return Err(Error::KeyEncryption(error)),
                Err(other) => return Err(other),
            };
        }
        tracing::info!(wrapping, in_use = ?checked, "key-encryption keys checked");
        Ok(keys)
    }

    /// Seals `plaintext` as `version` of a row.
    pub(crate) async fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.counted(place.team).await?;
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

    /// The team's data key, whose next use is already counted in the store.
    async fn counted(&self, team: TeamId) -> Result<DataKey, Error> {
        loop {
            let record = match self.store.current_data_key(team).await? {
                Some(record) => record,
                None => match self.add_data_key(team).await? {
                    Some(record) => record,
                    None => continue,
                },
            };
            if self.store.count_uses(team, record.id, 1).await? {
                return self.unwrap(record).await;
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
        let key = self.unwrap(record.ok_or(Error::CorruptCredential)?).await?;
        Ok(keystile_seal::open(&key, place, sealed)?)
    }

    /// A new data key of the team; `None` if another key-encryption key was chosen meanwhile.
    async fn add_data_key(&self, team: TeamId) -> Result<Option<DataKeyRecord>, Error> {
        let record = generate(team, &*self.store, &*self.kek, &*self.entropy).await?;
        let added = self.store.insert_data_key(&record, self.clock.now()).await?;
        Ok(added.then_some(record))
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

    async fn unwrap(&self, record: DataKeyRecord) -> Result<DataKey, Error> {
        unwrap(record, &*self.store, &*self.kek).await
    }
}

/// A new data key, wrapped by the key-encryption key that wraps now. It is not stored.
pub(crate) async fn generate(
    team: TeamId,
    store: &dyn KeyStore,
    kek: &dyn KeyEncryption,
    entropy: &dyn Entropy,
) -> Result<DataKeyRecord, Error> {
    let version = store.wrapping().await?.version;
    if !kek.versions().contains(&version) {
        kek.refresh().await?;
    }
    let (record, _) = DataKeyRecord::generate(team, version, kek, entropy).await?;
    Ok(record)
}

/// Unwraps a data key. If its key-encryption key is not here, that came since it was last looked
/// for, or the record was re-wrapped since it was read and the old key removed: both are read again.
pub(crate) async fn unwrap(
    record: DataKeyRecord,
    store: &dyn KeyStore,
    kek: &dyn KeyEncryption,
) -> Result<DataKey, Error> {
    let unknown = match record.unwrap(kek).await {
        Err(error @ keystile_seal::Error::UnknownVersion(_)) => error,
        unwrapped => return Ok(unwrapped?),
    };
    kek.refresh().await?;
    let again = store.find_data_key(record.team, record.id).await?.ok_or(unknown)?;
    Ok(again.unwrap(kek).await?)
}
