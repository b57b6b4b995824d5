//! Cutting every secret that one token key minted, in all teams.

use std::sync::atomic::AtomicU64;

use keystile_domain::OperationId;

use crate::{
    Error, Service,
    change::{Ask, Outcome},
    keys::{By, Caller, EditKey, retire_secrets::RetireSecrets},
};

/// Keys that are read at a time.
const BATCH: u64 = 100;

/// What was cut.
#[derive(Debug, Clone, Copy)]
pub struct Retired {
    /// Secrets.
    pub secrets: u64,
    /// How the last cut ended. A later row's barrier covers all before it.
    pub outcome: Outcome,
}

impl Service {
    /// Cuts what still uses token key `version`, for the operator: one change a key, each its own
    /// transaction, and one barrier at the end. A repeat goes on where an interrupted one stopped,
    /// and waits for all that it did.
    ///
    /// # Errors
    /// [`Error::NewestTokenKey`] for the one that mints.
    #[tracing::instrument(name = "issuance.retire_token_key", skip_all, fields(version))]
    pub async fn retire_token_key(&self, caller: &Caller, version: u8) -> Result<Retired, Error> {
        caller.actor.require_operator()?;
        if version == self.token_keys.newest() {
            return Err(Error::NewestTokenKey);
        }
        // Until a pass finds none: a process that has not heard of the newer token key may have minted
        // with this one meanwhile.
        let (mut secrets, mut after, mut last, mut found) = (0, None, None, 0);
        loop {
            let batch = self.store.keys_under_token_key(version, after, BATCH).await?;
            for (team, id) in &batch {
                let change = EditKey {
                    by: By::Checked,
                    team: *team,
                    id: *id,
                    edit: RetireSecrets { version, cut: AtomicU64::new(0) },
                };
                let ask = Ask {
                    team: *team,
                    operation: self.new_operation(),
                    origin: (&caller.actor).into(),
                    deadline: caller.deadline,
                    request: None,
                };
                match self.commit(&ask, &change).await {
                    Ok(committed) => {
                        found += change.edit.cut.into_inner();
                        last = Some(committed.id);
                        self.see_through(&committed.waiting);
                    }
                    // Revoked or deleted since the batch was read: nothing of it works.
                    Err(Error::KeyRevoked | Error::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match batch.last() {
                Some((_, id)) => after = Some(*id),
                None if found == 0 => break,
                None => {
                    secrets += found;
                    (after, found) = (None, 0);
                }
            }
        }
        let operation: OperationId = last.unwrap_or_else(|| self.new_operation());
        let outcome = self.settle_head(operation, caller.deadline).await?;
        Ok(Retired { secrets, outcome })
    }
}
