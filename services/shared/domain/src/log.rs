//! The log of changes: positions in it, what a row says, the receipt of a cut. Design §6.

use std::{fmt, str::FromStr, time::Duration};

use crate::{ConnectionId, IntegrationId, KeyId, OperationId, TeamId};

/// Which history of the database a position belongs to: the database's random id, new at every
/// restore, and the WAL timeline, new at every failover (0 on SQLite).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct History {
    /// The database's random id.
    pub database: [u8; 16],
    /// The WAL timeline.
    pub timeline: u32,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", u128::from_be_bytes(self.database), self.timeline)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a history id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a history id: 32 hexadecimal digits, a hyphen and a timeline number")]
pub struct ParseHistoryError;

impl FromStr for History {
    type Err = ParseHistoryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (database, timeline) = text.split_once('-').ok_or(ParseHistoryError)?;
        if database.len() != 32 || database.starts_with('+') {
            return Err(ParseHistoryError);
        }
        let database = u128::from_str_radix(database, 16).map_err(|_| ParseHistoryError)?;
        let timeline = timeline.parse().map_err(|_| ParseHistoryError)?;
        Ok(Self { database: database.to_be_bytes(), timeline })
    }
}

/// A point of one history: everything up to and including `seq` has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The history it counts in.
    pub history: History,
    /// The number of the last row included; 0 before the first.
    pub seq: u64,
}

impl Position {
    /// Is this in the same history and at or after `other`?
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        self.history == other.history && self.seq >= other.seq
    }
}

/// The random mark of a row, by which its successor names it. A row is applied only onto the row
/// it names, so two histories that fork at one number are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

/// What a follower applied: everything up to a row, and which row of that number it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The row applied last; where it began if it has applied none.
    pub position: Position,
    /// That row's mark.
    pub nonce: Nonce,
}

/// What a change is about. A fact cached before a cut of any of its scopes is not used after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One key.
    Key(KeyId),
    /// All keys of a team.
    Team(TeamId),
    /// All grants through an integration.
    Integration(IntegrationId),
    /// All grants through a connection.
    Connection(ConnectionId),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A team was created.
    TeamCreated,
    /// A team was suspended, which stops its keys.
    TeamSuspended,
    /// A suspended team was resumed.
    TeamResumed,
    /// A team's plan was set.
    PlanSet,
    /// A key was created.
    KeyCreated,
    /// A key's name, description, expiry, IP list or limits changed.
    KeyUpdated,
    /// A grant was added or replaced.
    GrantPut,
    /// A grant was removed.
    GrantRemoved,
    /// A key was disabled.
    KeyDisabled,
    /// A key was enabled again.
    KeyEnabled,
    /// A key got a new secret and lost every earlier one.
    KeyRegenerated,
    /// A key got a second secret for an overlap.
    KeyRotated,
    /// The overlap of a rotation was ended early.
    OverlapEnded,
    /// A key was revoked, finally.
    KeyRevoked,
    /// A key was deleted.
    KeyDeleted,
    /// Secrets under a retired token key were cut.
    TokenKeyRetired,
    /// The vault reported a connection or integration as usable or not.
    ScopeStatusSet,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::TeamCreated,
        Self::TeamSuspended,
        Self::TeamResumed,
        Self::PlanSet,
        Self::KeyCreated,
        Self::KeyUpdated,
        Self::GrantPut,
        Self::GrantRemoved,
        Self::KeyDisabled,
        Self::KeyEnabled,
        Self::KeyRegenerated,
        Self::KeyRotated,
        Self::OverlapEnded,
        Self::KeyRevoked,
        Self::KeyDeleted,
        Self::TokenKeyRetired,
        Self::ScopeStatusSet,
    ];

    /// The text in the log, the audit trail and the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TeamCreated => "team.created",
            Self::TeamSuspended => "team.suspended",
            Self::TeamResumed => "team.resumed",
            Self::PlanSet => "team.plan_set",
            Self::KeyCreated => "key.created",
            Self::KeyUpdated => "key.updated",
            Self::GrantPut => "key.grant_put",
            Self::GrantRemoved => "key.grant_removed",
            Self::KeyDisabled => "key.disabled",
            Self::KeyEnabled => "key.enabled",
            Self::KeyRegenerated => "key.regenerated",
            Self::KeyRotated => "key.rotated",
            Self::OverlapEnded => "key.overlap_ended",
            Self::KeyRevoked => "key.revoked",
            Self::KeyDeleted => "key.deleted",
            Self::TokenKeyRetired => "key.token_key_retired",
            Self::ScopeStatusSet => "scope.status_set",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One row of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// Its own mark.
    pub nonce: Nonce,
    /// The mark of the row before it.
    pub previous: Nonce,
    /// What it is about.
    pub scope: Scope,
    /// What happened.
    pub kind: ChangeKind,
    /// Does it take access away?
    pub cut: bool,
    /// The operation that made it.
    pub operation: OperationId,
}

/// What a cut waited for before it returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The cut's row in the log.
    pub seq: u64,
    /// Followers that acknowledged it.
    pub acknowledged: u32,
    /// Followers that did not, whose lease has run out instead.
    pub waited_out: u32,
    /// From commit to return.
    pub elapsed: Duration,
}
