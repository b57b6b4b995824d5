//! Ending the overlap of a rotation before its time.

use keystile_domain::{KeyId, log::ChangeKind};

use super::{Caller, Changed, Edit, Given};
use crate::{Error, Service, store::KeyRecord};

impl Service {
    /// Refuses the old secret of a rotation from now on: a cut. Repeating it while it is the key's
    /// last cut waits for that cut.
    ///
    /// # Errors
    /// [`Error::NoOverlap`] if only one secret works otherwise; [`Error::NotFound`], [`Error::KeyRevoked`].
    #[tracing::instrument(name = "issuance.end_overlap", skip_all, fields(key.id = %id))]
    pub async fn end_overlap(&self, caller: &Caller, id: KeyId) -> Result<Changed, Error> {
        self.edit_key(caller, id, EndOverlap).await
    }
}

struct EndOverlap;

impl Edit for EndOverlap {
    const KIND: ChangeKind = ChangeKind::OverlapEnded;

    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error> {
        if !key.secrets.iter().any(|secret| secret.not_after.is_some_and(|end| end > given.now)) {
            return Err(Error::NoOverlap);
        }
        key.secrets.retain(|secret| secret.not_after.is_none());
        Ok(())
    }
}
