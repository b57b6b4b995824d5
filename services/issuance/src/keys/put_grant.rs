//! Adding or replacing the grant for one app.

use keystile_contract::Failure;
use keystile_domain::{Grant, KeyId, log::ChangeKind};

use super::{AskedGrant, Caller, Changed, Edit, Given, create::MAX_GRANTS};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Adds or replaces a grant. Narrowing is a cut.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`]; a refusal by vault, with the field at fault.
    #[tracing::instrument(name = "issuance.put_grant", skip_all, fields(key.id = %id))]
    pub async fn put_grant(
        &self,
        caller: &Caller,
        id: KeyId,
        asked: &AskedGrant,
    ) -> Result<Changed, Error> {
        let key = self.key_to_write(caller, id).await?;
        let grant = self.check_grant(key.team, asked, caller.deadline).await?;
        self.edit_key(caller, id, PutGrant(grant)).await
    }
}

struct PutGrant(Grant);

impl Edit for PutGrant {
    const KIND: ChangeKind = ChangeKind::GrantPut;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.grants.retain(|grant| grant.app() != self.0.app());
        if key.grants.len() >= MAX_GRANTS {
            return Err(Failure::invalid("grant", "a key has at most 100 grants").into());
        }
        key.grants.push(self.0.clone());
        key.grants.sort_by(|a, b| a.app().cmp(b.app()));
        Ok(())
    }
}
