//! Reading one key.

use keystile_domain::{Actor, KeyId, Permission};

use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// One key of the actor's team that is not deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`] otherwise, another team's included.
    #[tracing::instrument(name = "issuance.get_key", skip_all, fields(key.id = %id))]
    pub async fn get_key(&self, actor: &Actor, id: KeyId) -> Result<KeyRecord, Error> {
        let team = actor.require(Permission::Read)?;
        let key = self.store.key(team, id).await?;
        key.filter(|key| key.deleted_at.is_none()).ok_or(Error::NotFound("key"))
    }
}
