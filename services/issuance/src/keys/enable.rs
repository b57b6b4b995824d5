//! Letting a disabled key work again.

use keystile_domain::{KeyId, facts::KeyStatus, log::ChangeKind};

use super::{Caller, Changed, Edit, Given};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Enables a key.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`].
    #[tracing::instrument(name = "issuance.enable_key", skip_all, fields(key.id = %id))]
    pub async fn enable_key(&self, caller: &Caller, id: KeyId) -> Result<Changed, Error> {
        self.edit_key(caller, id, Enable).await
    }
}

struct Enable;

impl Edit for Enable {
    const KIND: ChangeKind = ChangeKind::KeyEnabled;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.status = KeyStatus::Active;
        Ok(())
    }
}
