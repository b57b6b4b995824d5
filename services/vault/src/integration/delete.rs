//! Deleting an integration that nobody is connected through.

use std::time::Duration;

use keystile_domain::{Actor, IntegrationId, OperationId, Permission};

use super::Integration;
use crate::{
    audit::{self, Author, Entry, Who},
    delete::Deleted,
    error::Error,
    store::integrations::Deletion,
    vault::Vault,
};

impl Vault {
    /// Destroys the client first, then carries the cut to issuance: its integration keys stop.
    pub(crate) async fn delete_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
        wait: Duration,
    ) -> Result<Deleted, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let now = self.clock.now();
        let operation = OperationId::generate(now, &*self.entropy);
        let author = Author::new(Who::of(actor), now, &*self.entropy);
        let entry = |before: &Integration| Entry {
            operation: Some(operation),
            ..author.integration(audit::INTEGRATION_DELETED, before, Some(before), None)
        };
        let deletion = self.store.delete_integration(team, id, operation, now, &entry).await?;
        match deletion.ok_or(Error::IntegrationNotFound)? {
            Deletion::InUse => Err(Error::IntegrationInUse),
            Deletion::Gone(row) => {
                let settled = self.outbox.deliver(&row, wait).await;
                let receipt = settled.and_then(|settled| settled.receipt);
                Ok(Deleted { operation: row.operation, receipt })
            }
        }
    }
}
