//! What vault keeps, and the promises of whoever keeps it.
//!
//! Each method is one atomic step: all of it is durable when it returns, or nothing happened. Every
//! finder takes the team, and what belongs to another team is not there.

pub(crate) mod apps;
#[cfg(test)]
pub(crate) mod conformance;
mod entity;
pub(crate) mod flows;
pub(crate) mod idempotency;
pub(crate) mod integrations;
pub(crate) mod keys;
mod migration;
pub(crate) mod refresh;
pub(crate) mod sql;

use async_trait::async_trait;
use keystile_domain::{AppKey, AuditId, ConnectionId, OperationId, Scope, TeamId, log::Receipt};
pub(crate) use keystile_sql::Error;
use time::OffsetDateTime;

use self::idempotency::IdempotencyStore;
pub(crate) use self::keys::KeyStore;
use crate::{
    audit,
    connection::{Connection, Health},
};

/// A credential at rest.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedCredential {
    /// Which credential of the connection this is, from 1; part of what it is sealed for.
    pub(crate) version: u64,
    /// What `keystile_seal::seal` made.
    pub(crate) bytes: Vec<u8>,
}

impl std::fmt::Debug for SealedCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCredential").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A change that issuance must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    /// Its place in the order, from 1.
    pub(crate) number: i64,
    /// Its name at issuance, the same at every attempt.
    pub(crate) operation: OperationId,
    /// Whose connection or integration.
    pub(crate) team: TeamId,
    /// The connection or integration.
    pub(crate) scope: Scope,
    /// Can it be used from now on?
    pub(crate) usable: bool,
    /// What issuance answered; `None` while it has not.
    pub(crate) settled: Option<Settled>,
}

/// Issuance took a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Of a cut. What gives access waits for nobody.
    pub(crate) receipt: Option<Receipt>,
}

/// Which connections of a team to list.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPage {
    /// Only this app.
    pub(crate) app: Option<AppKey>,
    /// Only what is older than this one.
    pub(crate) before: Option<ConnectionId>,
    /// How many at most.
    pub(crate) limit: u64,
}

/// Which entries of a team's trail to list.
#[derive(Debug, Clone)]
pub(crate) struct AuditPage {
    /// Only this subject.
    pub(crate) subject: Option<String>,
    /// Only what is older than this one.
    pub(crate) before: Option<AuditId>,
    /// How many at most.
    pub(crate) limit: u64,
}

/// Makes the entry for a change from the connection that the transaction found.
pub(crate) type EntryOf<'a> = &'a (dyn Fn(&Connection) -> audit::Entry + Send + Sync);

/// Where vault keeps its rows; the keys among them are the [`KeyStore`]'s.
#[async_trait]
pub(crate) trait Store:
    apps::AppStore
    + flows::FlowStore
    + IdempotencyStore
    + integrations::IntegrationStore
    + KeyStore
    + refresh::RefreshStore
{
    /// Adds a connection with its credential and its entry. False, and nothing happened, if it is of
    /// an integration that is not configured. [`Error::Busy`], and nothing added, if the data key
    /// that sealed the credential is not there any more: seal it again. So it is with every step
    /// that stores a sealed value.
    async fn insert_connection(
        &self,
        connection: &Connection,
        credential: &SealedCredential,
        entry: &audit::Entry,
    ) -> Result<bool, Error>;

    /// One connection of the team and its credential, unless it was deleted.
    async fn find_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
    ) -> Result<Option<(Connection, SealedCredential)>, Error>;

    /// Those of these connections that the team has, in no order.
    async fn find_connections(
        &self,
        team: TeamId,
        ids: &[ConnectionId],
    ) -> Result<Vec<Connection>, Error>;

    /// Connections of the team, newest first, without the deleted.
    async fn list_connections(
        &self,
        team: TeamId,
        page: &ConnectionPage,
    ) -> Result<Vec<Connection>, Error>;

    /// Stores the health of a connection, with the entry made from the row as it was, and returns
    /// the connection as it is then. `None`, and no entry, if there is none.
    async fn set_health(
        &self,
        team: TeamId,
        id: ConnectionId,
        health: &Health,
        entry: EntryOf<'_>,
    ) -> Result<Option<Connection>, Error>;

    /// Moves `last_used_at` forward. Nothing, if the connection is gone.
    async fn touch(&self, team: TeamId, id: ConnectionId, at: OffsetDateTime) -> Result<(), Error>;

    /// Deletes a connection: its credential is overwritten and gone, its entry written and the cut
    /// put in the outbox as `operation`. A connection that was deleted before keeps its first
    /// operation, whose row is returned, and gets no second entry. `None` if there never was one.
    async fn delete_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
        operation: OperationId,
        at: OffsetDateTime,
        entry: EntryOf<'_>,
    ) -> Result<Option<OutboxRow>, Error>;

    /// Unsettled rows whose predecessors in the same scope are all settled, in order; of one scope
    /// or of all.
    async fn outbox_due(&self, scope: Option<Scope>, limit: u64) -> Result<Vec<OutboxRow>, Error>;

    /// One row, settled or not.
    async fn outbox_row(&self, operation: OperationId) -> Result<Option<OutboxRow>, Error>;

    /// Stores what issuance answered, once: a row that is settled stays as it is.
    async fn settle(
        &self,
        operation: OperationId,
        answer: Settled,
        at: OffsetDateTime,
    ) -> Result<(), Error>;

    /// The team's trail, newest first. With each entry the row in issuance's log that its operation
    /// got, or 0.
    async fn list_audit(
        &self,
        team: TeamId,
        page: &AuditPage,
    ) -> Result<Vec<(audit::Entry, u64)>, Error>;
}
