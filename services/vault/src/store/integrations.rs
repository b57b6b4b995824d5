//! Integrations at rest.

use async_trait::async_trait;
use keystile_domain::{AppKey, IntegrationId, OperationId, TeamId};
use time::OffsetDateTime;

use super::{Error, OutboxRow, SealedCredential};
use crate::{
    audit,
    integration::{Integration, Status},
};

/// Which integrations of a team to list.
#[derive(Debug, Clone)]
pub(crate) struct IntegrationPage {
    /// Only this app.
    pub(crate) app: Option<AppKey>,
    /// Only what is older than this one.
    pub(crate) before: Option<IntegrationId>,
    /// How many at most.
    pub(crate) limit: u64,
}

/// The entry for a change, made from the integration as it was.
pub(crate) type IntegrationEntryOf<'a> = &'a (dyn Fn(&Integration) -> audit::Entry + Sync);

/// What came of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It has connections: nothing happened.
    InUse,
    /// It is gone, and this row carries the cut.
    Gone(OutboxRow),
}

/// Where vault keeps integrations.
#[async_trait]
pub(crate) trait IntegrationStore: Send + Sync + 'static {
    /// Adds an integration with its sealed client and its entry.
    async fn insert_integration(
        &self,
        integration: &Integration,
        client: &SealedCredential,
        entry: &audit::Entry,
    ) -> Result<(), Error>;

    /// One integration of the team and its sealed client, unless it was deleted.
    async fn find_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
    ) -> Result<Option<(Integration, SealedCredential)>, Error>;

    /// Integrations of the team, newest first, without the deleted.
    async fn list_integrations(
        &self,
        team: TeamId,
        page: &IntegrationPage,
    ) -> Result<Vec<Integration>, Error>;

    /// Those of the team that are disabled.
    async fn disabled_integrations(&self, team: TeamId) -> Result<Vec<IntegrationId>, Error>;

    /// Replaces an integration whose version is the one before `after`'s. False, and nothing
    /// happened, if it is another, or if it is gone.
    async fn update_integration(
        &self,
        after: &Integration,
        client: &SealedCredential,
        entry: &audit::Entry,
    ) -> Result<bool, Error>;

    /// Disables it, or ends that: the status is `to`, and the change is in the outbox as
    /// `operation`. One that is as disabled as that already keeps its operation, whose row is
    /// returned. `None` if there is none.
    async fn switch_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
        to: Status,
        operation: OperationId,
        entry: IntegrationEntryOf<'_>,
    ) -> Result<Option<(Integration, Option<OutboxRow>)>, Error>;

    /// Deletes one that has no connections: its client is overwritten and gone, and its cut is in
    /// the outbox. One that was deleted before keeps its first operation. `None` if there never was
    /// one.
    async fn delete_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
        operation: OperationId,
        at: OffsetDateTime,
        entry: IntegrationEntryOf<'_>,
    ) -> Result<Option<Deletion>, Error>;
}
