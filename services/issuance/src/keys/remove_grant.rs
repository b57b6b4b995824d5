//! Removing the grant for one app.

use keystile_domain::{AppKey, KeyId, log::ChangeKind};

use super::{Caller, Changed, Edit, Given};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Removes a grant: a cut. A key whose last grant went has no access. Removing what is not
    /// there waits for the key's last cut, which may be what removed it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`].
    #[tracing::instrument(name = "issuance.remove_grant", skip_all, fields(key.id = %id))]
    pub async fn remove_grant(
        &self,
        caller: &Caller,
        id: KeyId,
        app: AppKey,
    ) -> Result<Changed, Error> {
        self.edit_key(caller, id, RemoveGrant(app)).await
    }
}

struct RemoveGrant(AppKey);

impl Edit for RemoveGrant {
    const KIND: ChangeKind = ChangeKind::GrantRemoved;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.grants.retain(|grant| *grant.app() != self.0);
        Ok(())
    }
}
