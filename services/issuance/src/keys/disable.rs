//! Stopping a key for a while.

use keystile_domain::{KeyId, facts::KeyStatus, log::ChangeKind};

use super::{Caller, Changed, Edit, Given};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Disables a key: a cut. Disabling a disabled key waits for its last cut.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`].
    #[tracing::instrument(name = "issuance.disable_key", skip_all, fields(key.id = %id))]
    pub async fn disable_key(&self, caller: &Caller, id: KeyId) -> Result<Changed, Error> {
        self.edit_key(caller, id, Disable).await
    }
}

struct Disable;

impl Edit for Disable {
    const KIND: ChangeKind = ChangeKind::KeyDisabled;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.status = KeyStatus::Disabled;
        Ok(())
    }
}
