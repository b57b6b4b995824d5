//! Stopping a key for good.

use keystile_domain::{KeyId, facts::KeyStatus, log::ChangeKind};

use super::{Caller, Changed, Edit, Given};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Revokes a key: a cut, and final. Repeating it runs the barrier of the stored cut again.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    #[tracing::instrument(name = "issuance.revoke_key", skip_all, fields(key.id = %id))]
    pub async fn revoke_key(&self, caller: &Caller, id: KeyId) -> Result<Changed, Error> {
        self.edit_key(caller, id, Revoke).await
    }
}

struct Revoke;

impl Edit for Revoke {
    const KIND: ChangeKind = ChangeKind::KeyRevoked;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.status = KeyStatus::Revoked;
        Ok(())
    }
}
