//! A second secret, for an overlap in which both work.

use keystile_contract::Failure;
use keystile_domain::{KeyId, log::ChangeKind};
use time::{Duration, OffsetDateTime};

use super::{Caller, Edit, Given, Issued};
use crate::{
    Error, Service,
    service::as_stored,
    store::{KeyRecord, SecretRecord},
};

/// The longest overlap.
const MAX_OVERLAP: Duration = Duration::days(90);

impl Service {
    /// Rotates a key: the old secret works until `overlap_ends_at`, in the future and at most 90
    /// days away; an end so near that a lease may outlast it makes this a cut. A secret whose
    /// overlap is over already is dropped.
    ///
    /// # Errors
    /// [`Error::RotationInProgress`] during an overlap; [`Error::NotFound`],
    /// [`Error::KeyRevoked`], [`Error::PlanRequired`], [`Error::OperationRepeated`].
    #[tracing::instrument(name = "issuance.rotate_key", skip_all, fields(key.id = %id))]
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        id: KeyId,
        overlap_ends_at: OffsetDateTime,
    ) -> Result<Issued, Error> {
        let key = self.key_to_write(caller, id).await?;
        let (token, secret) = self.mint(key.environment, &key.kid, self.now()).await?;
        let changed = self.edit_key(caller, id, Rotate { secret, overlap_ends_at }).await?;
        Ok(Issued { key: changed.key, token, outcome: changed.outcome })
    }
}

struct Rotate {
    secret: SecretRecord,
    overlap_ends_at: OffsetDateTime,
}

impl Edit for Rotate {
    const KIND: ChangeKind = ChangeKind::KeyRotated;
    const ISSUES: bool = true;

    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error> {
        if !given.team.plan.api_access {
            return Err(Error::PlanRequired);
        }
        let end = as_stored(self.overlap_ends_at);
        if end <= given.now || end > given.now + MAX_OVERLAP {
            let rule = "must be in the future and at most 90 days away";
            return Err(Failure::invalid("overlap_ends_at", rule).into());
        }
        key.secrets.retain(|secret| secret.not_after.is_none_or(|end| end > given.now));
        if key.secrets.iter().any(|secret| secret.not_after.is_some()) {
            return Err(Error::RotationInProgress);
        }
        for secret in &mut key.secrets {
            secret.not_after = Some(end);
        }
        key.secrets.push(self.secret.clone());
        Ok(())
    }
}
