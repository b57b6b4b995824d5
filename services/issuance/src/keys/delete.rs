//! Revoking a key and taking it from the lists.

use keystile_domain::{KeyId, facts::KeyStatus, log::ChangeKind};

use super::{Caller, Edit, Given};
use crate::{Error, Service, change::Outcome, store::KeyRecord};

impl Service {
    /// Deletes a key: a cut. Its row stays as a tombstone, and so does its trail. Repeating it runs
    /// the barrier of the stored cut again.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    #[tracing::instrument(name = "issuance.delete_key", skip_all, fields(key.id = %id))]
    pub async fn delete_key(&self, caller: &Caller, id: KeyId) -> Result<Outcome, Error> {
        Ok(self.edit_key(caller, id, Delete).await?.outcome)
    }
}

struct Delete;

impl Edit for Delete {
    const KIND: ChangeKind = ChangeKind::KeyDeleted;

    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error> {
        key.status = KeyStatus::Revoked;
        key.deleted_at = key.deleted_at.or(Some(given.now));
        Ok(())
    }
}
