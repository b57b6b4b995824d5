//! A new secret, and every earlier one refused at once.

use keystile_domain::{KeyId, log::ChangeKind};

use super::{Caller, Edit, Given, Issued};
use crate::{
    Error, Service,
    store::{KeyRecord, SecretRecord},
};

impl Service {
    /// Regenerates a key: a cut. Of two at once, the later one's token is the only survivor.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`], [`Error::PlanRequired`],
    /// [`Error::OperationRepeated`].
    #[tracing::instrument(name = "issuance.regenerate_key", skip_all, fields(key.id = %id))]
    pub async fn regenerate_key(&self, caller: &Caller, id: KeyId) -> Result<Issued, Error> {
        let key = self.key_to_write(caller, id).await?;
        let (token, secret) = self.mint(key.environment, &key.kid, self.now()).await?;
        let changed = self.edit_key(caller, id, Regenerate(secret)).await?;
        Ok(Issued { key: changed.key, token, outcome: changed.outcome })
    }
}

struct Regenerate(SecretRecord);

impl Edit for Regenerate {
    const KIND: ChangeKind = ChangeKind::KeyRegenerated;
    const ISSUES: bool = true;

    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error> {
        if !given.team.plan.api_access {
            return Err(Error::PlanRequired);
        }
        key.secrets = vec![self.0.clone()];
        Ok(())
    }
}
