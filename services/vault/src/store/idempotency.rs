//! What is kept of runs under an idempotency key, so that none happens twice.

use std::time::Duration;

use async_trait::async_trait;
use keystile_domain::{KeyId, RunId, TeamId};
use time::OffsetDateTime;

use super::Error;

/// For how long a run is remembered.
pub(crate) const RETENTION: Duration = Duration::from_hours(24);

/// A run that is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRun {
    pub(crate) id: RunId,
    pub(crate) team: TeamId,
    /// The API key whose idempotency key it is.
    pub(crate) key: KeyId,
    /// Of the idempotency key, whose text is kept nowhere.
    pub(crate) name_digest: [u8; 32],
    /// Of what is to be run, with what.
    pub(crate) request_digest: [u8; 32],
    pub(crate) began_at: OffsetDateTime,
    /// Nobody is at work on it after this: whoever began it has stored what came of it, or is gone.
    pub(crate) lease_ends_at: OffsetDateTime,
}

/// Whose run it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The caller's: it runs now.
    Ours,
    /// Another caller's, or an earlier one.
    Known(Run),
}

/// What is known of a run.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) request_digest: [u8; 32],
    pub(crate) state: State,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Run");
        shown.field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// How far a run is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Somebody is at work on it.
    Running,
    /// The app may have been reached, and what came of it is not known. It stays so.
    Unknown,
    /// The app answered; the sealed answer.
    Done(Vec<u8>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "Running",
            Self::Unknown => "Unknown",
            Self::Done(_) => "Done",
        })
    }
}

/// Keeps runs under idempotency keys. The team, the API key and the digest of the idempotency key
/// together name one.
#[async_trait]
pub(crate) trait IdempotencyStore: Send + Sync + 'static {
    /// Takes the name of `new` for it, unless it is taken: then says by what. Of any number of
    /// callers at once exactly one is told [`Begun::Ours`]. A name is free again [`RETENTION`]
    /// after its run began. A run whose lease has ended while it was running becomes, for ever,
    /// [`State::Unknown`].
    async fn begin_run(&self, new: &NewRun) -> Result<Begun, Error>;

    /// Stores what came of a run that is [`State::Running`]. False, and nothing changed, if it is
    /// not.
    async fn settle_run(&self, team: TeamId, id: RunId, state: State) -> Result<bool, Error>;

    /// Forgets a run that is [`State::Running`], so that its name is free.
    async fn release_run(&self, team: TeamId, id: RunId) -> Result<(), Error>;

    /// Forgets the oldest `limit` of the runs that began before, and says how many there were.
    async fn prune_runs(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error>;
}
