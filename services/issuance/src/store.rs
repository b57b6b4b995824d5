//! What issuance keeps, as a trait: the use cases know rows, not databases.
//!
//! Two implementations, [`sql`] and [`memory`], pass one conformance suite (`tests/it/store/conformance.rs`).

use std::time::Duration;

use async_trait::async_trait;
use keystile_domain::{
    AppKey, Environment, Incarnation, KeyId, OperationId, Role, Scope, TeamId,
    facts::{KeyFacts, KeyStatus},
    log::{History, LogRow, Receipt},
    token::Kid,
};
use time::OffsetDateTime;

use crate::Error;

mod entity;
pub mod memory;
mod migration;
mod record;
pub mod sql;

pub use record::{
    AuditRecord, Epoch, FollowerRecord, KeyRecord, Operation, ScopeStatus, SecretRecord,
    TeamRecord, TeamStatus, fold,
};

/// How long a cached fact may live, through every tier: the log of this long are a new follower's
/// first tombstones.
pub const CACHE_LIFETIME: Duration = Duration::from_hours(1);

/// The rows of issuance. Single reads are as of now; each method is one consistent read.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Opens a transaction that writes.
    async fn begin(&self) -> Result<Box<dyn Tx>, Error>;

    /// The head of the log.
    async fn epoch(&self) -> Result<Epoch, Error>;
    /// A team.
    async fn team(&self, id: TeamId) -> Result<Option<TeamRecord>, Error>;
    /// Keys of a team that are neither revoked nor deleted.
    async fn count_keys(&self, team: TeamId) -> Result<u64, Error>;
    /// A key of a team, deleted ones included.
    async fn key(&self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error>;
    /// A page of a team's keys that are not deleted, in a constant number of queries.
    async fn list_keys(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, Error>;
    /// A page of a team's trail, newest first.
    async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, Error>;
    /// What a verdict on a key depends on, and the head, in one snapshot.
    async fn facts(&self, of: FactsOf) -> Result<(Epoch, Option<KeyFacts>), Error>;
    /// Up to `limit` live keys of any team with a secret under this token key, in order of id.
    async fn keys_under_token_key(
        &self,
        version: u8,
        after: Option<KeyId>,
        limit: u64,
    ) -> Result<Vec<(TeamId, KeyId)>, Error>;
    /// A change that a team made.
    async fn operation(&self, team: TeamId, id: OperationId) -> Result<Option<Operation>, Error>;
    /// Every registered follower, retiring ones included.
    async fn followers(&self) -> Result<Vec<FollowerRecord>, Error>;
    /// The head, this follower and all rows after `after`, by one statement: one plain read.
    async fn renewal(&self, id: Incarnation, after: u64) -> Result<Renewal, Error>;
    /// Rows after `after`, in order, and the history they belong to.
    async fn log_after(&self, after: u64, limit: u64) -> Result<(History, Vec<LogRow>), Error>;
    /// Notes that these followers were answered, in one statement.
    async fn record_answered(&self, ids: &[Incarnation], at: OffsetDateTime) -> Result<(), Error>;
    /// Adds the receipt of a cut to its row of the trail, unless that has one.
    async fn record_receipt(&self, receipt: &Receipt) -> Result<(), Error>;
    /// The receipt that the row of the trail has, if it has one.
    async fn receipt(&self, seq: u64) -> Result<Option<Receipt>, Error>;
    /// Stores `history` as the one that no lease of an earlier one can outlive.
    async fn settle(&self, history: History) -> Result<(), Error>;

    /// Tells every process on this store, this one too. A hint, which may be lost.
    async fn tell(&self, text: &str) -> Result<(), Error>;
    /// Hears what is told from now on.
    async fn hear(&self) -> Result<Box<dyn Hearing>, Error>;
}

/// What the processes on one store tell one another.
#[async_trait]
pub trait Hearing: Send {
    /// The next text; `None` where some may be missing.
    async fn next(&mut self) -> Result<Option<String>, Error>;
}

/// One transaction. Dropped without [`Tx::commit`], it leaves nothing behind.
#[async_trait]
pub trait Tx: Send {
    /// Makes all of it durable, at once.
    async fn commit(self: Box<Self>) -> Result<(), Error>;

    /// Takes the lock that puts changes in one order, and returns the head under it.
    async fn lock_epoch(&mut self) -> Result<Epoch, Error>;
    /// Appends the successor of the head and makes it the head.
    async fn append(&mut self, row: &LogRow, at: OffsetDateTime) -> Result<(), Error>;
    /// Notes a change under the id its caller gave it.
    async fn insert_operation(&mut self, operation: &Operation) -> Result<(), Error>;
    /// A change that a team made.
    async fn operation(
        &mut self,
        team: TeamId,
        id: OperationId,
    ) -> Result<Option<Operation>, Error>;
    /// The last cut of a scope.
    async fn last_cut(&mut self, team: TeamId, scope: Scope) -> Result<Option<Operation>, Error>;
    /// Adds to the trail.
    async fn insert_audit(&mut self, row: &AuditRecord) -> Result<(), Error>;

    /// A team.
    async fn team(&mut self, id: TeamId) -> Result<Option<TeamRecord>, Error>;
    /// Adds a team. [`Error::TeamExists`] if the id is taken.
    async fn insert_team(&mut self, team: &TeamRecord) -> Result<(), Error>;
    /// Replaces a team.
    async fn update_team(&mut self, team: &TeamRecord) -> Result<(), Error>;

    /// Keys of a team that are neither revoked nor deleted.
    async fn count_keys(&mut self, team: TeamId) -> Result<u64, Error>;
    /// A key of a team, deleted ones included.
    async fn key(&mut self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error>;
    /// Adds a key.
    async fn insert_key(&mut self, key: &KeyRecord) -> Result<(), Error>;
    /// Replaces `before` by `after`. [`Error::ChangedMeanwhile`] if the version is not that of
    /// `before`.
    async fn update_key(&mut self, before: &KeyRecord, after: &KeyRecord) -> Result<(), Error>;

    /// Adds or replaces the status of a connection or integration.
    async fn put_scope_status(&mut self, status: &ScopeStatus) -> Result<(), Error>;
    /// Is this connection or integration usable? `None` if vault never said.
    async fn scope_usable(&mut self, team: TeamId, scope: Scope) -> Result<Option<bool>, Error>;

    /// Every registered follower, retiring ones included.
    async fn followers(&mut self) -> Result<Vec<FollowerRecord>, Error>;
    /// Adds a follower. [`Error::IncarnationExists`] if it is there.
    async fn insert_follower(&mut self, follower: &FollowerRecord) -> Result<(), Error>;
    /// Marks the followers that were last answered before `silent_since` as retiring.
    async fn mark_retiring(&mut self, silent_since: OffsetDateTime) -> Result<(), Error>;
    /// Removes followers.
    async fn remove_followers(&mut self, ids: &[Incarnation]) -> Result<(), Error>;
    /// The last row that was appended before `at`; 0 if there is none.
    async fn floor(&mut self, at: OffsetDateTime) -> Result<u64, Error>;
}

/// By what a key's facts are asked for.
#[derive(Debug, Clone, Copy)]
pub enum FactsOf {
    /// By what its token carries.
    Kid(Kid),
    /// By its id.
    Key(KeyId),
}

/// What one renewal reads.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The head.
    pub epoch: Epoch,
    /// The follower's role; `None` unless it is registered and not retiring.
    pub live: Option<Role>,
    /// The rows it has not applied.
    pub rows: Vec<LogRow>,
}

/// The order of a list of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySort {
    /// Newest first.
    CreatedDesc,
    /// Oldest first.
    CreatedAsc,
    /// By folded name, A first.
    NameAsc,
    /// By folded name, Z first.
    NameDesc,
}

/// Where a page begins: after this key. Ids break ties, so the order is total and stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// In an order by creation.
    Created(OffsetDateTime, KeyId),
    /// In an order by folded name.
    Name(String, KeyId),
}

/// Which keys, in which order.
#[derive(Debug, Clone)]
pub struct KeyQuery {
    /// Of this team.
    pub team: TeamId,
    /// At most so many.
    pub limit: u64,
    /// After this key.
    pub after: Option<After>,
    /// Whose folded name contains this folded text.
    pub name_contains: Option<String>,
    /// Of this environment.
    pub environment: Option<Environment>,
    /// In this state.
    pub status: Option<KeyStatus>,
    /// With a grant for this app.
    pub app: Option<AppKey>,
    /// In this order.
    pub sort: KeySort,
}

/// Which rows of the trail.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// Of this team.
    pub team: TeamId,
    /// At most so many.
    pub limit: u64,
    /// Older than the row of this change.
    pub before: Option<u64>,
    /// On this subject.
    pub subject: Option<String>,
}
