//! Disabling an integration, a cut for every key that acts through it, and ending that.

use std::time::Duration;

use keystile_domain::{Actor, IntegrationId, OperationId, Permission, log::Receipt};

use super::{Integration, Status};
use crate::{
    audit::{self, Author, Entry, Who},
    error::Error,
    vault::Vault,
};

/// How a switch ended. It is committed in any case.
#[derive(Debug, Clone)]
pub(crate) struct Switched {
    pub(crate) integration: Integration,
    pub(crate) operation: OperationId,
    /// Of a cut.
    pub(crate) receipt: Option<Receipt>,
    /// Has issuance heard of it?
    pub(crate) settled: bool,
}

impl Vault {
    /// Stops everything that goes through the integration: here first, then everywhere by its cut.
    pub(crate) async fn disable_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
        wait: Duration,
    ) -> Result<Switched, Error> {
        self.switch(actor, id, Status::Disabled, wait).await
    }

    /// Ends that. It is configured if it was checked before.
    pub(crate) async fn enable_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
        wait: Duration,
    ) -> Result<Switched, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let found = self.store.find_integration(team, id).await?;
        let (integration, sealed) = found.ok_or(Error::IntegrationNotFound)?;
        let checked = self.open_client(&integration, &sealed).await?.endpoints.is_some();
        let to = if checked && integration.status_reason.is_empty() {
            Status::Configured
        } else {
            Status::Draft
        };
        self.switch(actor, id, to, wait).await
    }

    async fn switch(
        &self,
        actor: &Actor,
        id: IntegrationId,
        to: Status,
        wait: Duration,
    ) -> Result<Switched, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let now = self.clock.now();
        let operation = OperationId::generate(now, &*self.entropy);
        let author = Author::new(Who::of(actor), now, &*self.entropy);
        let action = match to {
            Status::Disabled => audit::INTEGRATION_DISABLED,
            Status::Configured | Status::Draft => audit::INTEGRATION_ENABLED,
        };
        let entry = |before: &Integration| Entry {
            operation: Some(operation),
            ..author.integration(
                action,
                before,
                Some(before),
                Some(&Integration { status: to, ..before.clone() }),
            )
        };
        let switched = self.store.switch_integration(team, id, to, operation, &entry).await?;
        let (integration, row) = switched.ok_or(Error::IntegrationNotFound)?;
        let Some(row) = row else {
            // It was never disabled: issuance knows nothing of it, and need not.
            return Ok(Switched { integration, operation, receipt: None, settled: true });
        };
        let settled = self.outbox.deliver(&row, wait).await;
        Ok(Switched {
            integration,
            operation: row.operation,
            receipt: settled.and_then(|settled| settled.receipt),
            settled: settled.is_some(),
        })
    }
}
