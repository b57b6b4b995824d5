//! Refreshing at rest: who may exchange a refresh token now.
//!
//! ```text
//! idle ──claim──▶ claimed ──begin──▶ exchanging ──finish, fail──▶ idle
//!                    │ lapsed: another claims      │ lapsed: expired, refresh_outcome_unknown
//! ```
//!
//! Every claim gets the next fencing token, and every later step names it. A refresh token is sent
//! only after *exchanging* is durable, and nobody leaves *exchanging* but by an outcome: so no
//! refresh token is ever sent twice, whoever dies and whatever clocks say.

use async_trait::async_trait;
use keystile_domain::{ConnectionId, TeamId};
use time::OffsetDateTime;

use super::{EntryOf, Error, SealedCredential};
use crate::connection::{Connection, Health, Issued};

/// The fencing token of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence(pub(crate) u64);

/// What came of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The caller may exchange, under this fencing token.
    Won(Fence),
    /// Another does.
    Busy,
    /// The credential is another now, or the connection is in no state to be refreshed: look again.
    Changed,
}

/// What an exchange gave.
#[derive(Debug)]
pub(crate) struct Refreshed {
    /// The next version of the credential.
    pub(crate) credential: SealedCredential,
    /// What the provider said of it.
    pub(crate) issued: Issued,
    /// What that makes of the connection.
    pub(crate) health: Health,
}

/// Where vault keeps who refreshes.
#[async_trait]
pub(crate) trait RefreshStore: Send + Sync + 'static {
    /// Claims the refresh of a credential of that version until then. An exchange whose claim has
    /// lapsed makes the connection `expired`, with the entry made from the row as it was.
    async fn claim_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        version: u64,
        now: OffsetDateTime,
        until: OffsetDateTime,
        lost: EntryOf<'_>,
    ) -> Result<Claim, Error>;

    /// Marks that the refresh token is about to be sent. False: the claim is lost, it must not be.
    async fn begin_exchange(
        &self,
        id: ConnectionId,
        fence: Fence,
        until: OffsetDateTime,
    ) -> Result<bool, Error>;

    /// Stores what an exchange gave; with the entry, if the health is another than before. The outcome counts even after the claim has lapsed.
    /// False if the credential was replaced or destroyed meanwhile.
    async fn finish_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        fence: Fence,
        refreshed: &Refreshed,
        changed: EntryOf<'_>,
    ) -> Result<bool, Error>;

    /// Ends a claim without new tokens: the health, with the entry if it is another than before, and
    /// when to try again. False if the claim is another's.
    async fn fail_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        fence: Fence,
        health: &Health,
        refresh_at: Option<OffsetDateTime>,
        changed: EntryOf<'_>,
    ) -> Result<bool, Error>;

    /// Connections that are due for a refresh, and those whose exchange has lapsed; the longest due
    /// first.
    async fn due_refreshes(
        &self,
        now: OffsetDateTime,
        limit: u64,
    ) -> Result<Vec<(TeamId, ConnectionId)>, Error>;

    /// Puts a credential in the place of the one before its version: a person connected again. The
    /// connection is active, and a refresh that is under way comes to nothing. False if another
    /// version was there, or the connection or its integration is gone.
    async fn replace_credential(
        &self,
        connection: &Connection,
        credential: &SealedCredential,
        entry: EntryOf<'_>,
    ) -> Result<bool, Error>;
}
