//! Connect flows at rest.

use async_trait::async_trait;
use keystile_domain::IntegrationId;
use time::OffsetDateTime;

use super::Error;
use crate::{
    connect::{Flow, FlowId},
    oauth::random::Digest,
};

/// Where vault keeps connect flows. A flow is found by what only its browser knows, so no finder
/// takes a team; every finder takes the integration whose address the browser asked for.
#[async_trait]
pub(crate) trait FlowStore: Send + Sync + 'static {
    /// Adds a flow that this ticket opens.
    async fn insert_flow(&self, flow: &Flow, ticket: &Digest) -> Result<(), Error>;

    /// Uses the ticket up and binds its flow to the cookie. `None` if there is no such flow any
    /// more, or its ticket was used.
    async fn open_flow(
        &self,
        integration: IntegrationId,
        ticket: &Digest,
        cookie: &Digest,
        now: OffsetDateTime,
    ) -> Result<Option<Flow>, Error>;

    /// The flow that is bound to the cookie, unless it ended.
    async fn flow_of_cookie(
        &self,
        integration: IntegrationId,
        cookie: &Digest,
        now: OffsetDateTime,
    ) -> Result<Option<Flow>, Error>;

    /// Sets what the provider will send back, in the place of what an earlier attempt set. False if
    /// the flow ended, or was begun once more meanwhile.
    async fn begin_flow(
        &self,
        id: FlowId,
        attempt: u64,
        state: &Digest,
        secret: &[u8],
    ) -> Result<bool, Error>;

    /// Ends the flow that waits for this state in this browser, and gives what was sealed for its
    /// last attempt: to one caller, once. It may be past its end, so that a person can be told.
    async fn end_flow(
        &self,
        integration: IntegrationId,
        cookie: &Digest,
        state: &Digest,
    ) -> Result<Option<(Flow, Vec<u8>)>, Error>;

    /// Forgets flows that ended before then.
    async fn prune_flows(&self, before: OffsetDateTime) -> Result<u64, Error>;
}
