//! Follows issuance's log of changes under a lease, so that what a process keeps in memory is
//! never used after a cut of it has returned. Design §6. Verification, vault and triggers use it.
//!
//! Owns one incarnation's registration, its lease, its place in the log and the tombstones: for
//! each scope, the row before which facts about it are not used. Every row of the log is a
//! tombstone. For a cut that is what keeps access cut; for a change that gives access it is what
//! ends refusals from older facts.
//!
//! Never: holds facts. Whoever does implements [`Apply`] to drop them early and asks
//! [`Follower::admit`] at each use, which is what the guarantee rests on.

mod client;
mod driver;
mod lease;
mod line;
mod session;
mod terms;
mod tombstones;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use keystile_contract::Transport;
use keystile_domain::{
    Clock, Entropy, Position, Role, Scope, Tick,
    log::{Applied, History, LogRow},
};
use tokio::sync::watch;

pub use driver::Driver;
use line::Line;

/// What cannot be read from issuance's terms.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long facts are kept anywhere. A tombstone this old is dropped by raising the floor.
    pub cache_ttl: Duration,
    /// The most tombstones kept; the oldest go first, by raising the floor.
    pub max_tombstones: usize,
    /// The first pause before a failed registration or stream is tried again.
    pub backoff_min: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_ttl: Duration::from_hours(1),
            max_tombstones: 1_000_000,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// What a follower needs.
#[derive(Clone)]
pub struct Deps {
    /// The way to issuance's `LogService`.
    pub issuance: Transport,
    /// The role that follows.
    pub role: Role,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names incarnations, spreads retries.
    pub entropy: Arc<dyn Entropy>,
    /// What holds the facts.
    pub apply: Arc<dyn Apply>,
}

/// What holds facts and hears of changes, in order.
#[async_trait]
pub trait Apply: Send + Sync {
    /// Where a stored follower resumes; `None` begins at the floor.
    async fn resume_from(&self) -> Result<Option<Applied>, ApplyError>;

    /// Drop everything cached: another history, or the log no longer reaches back. Rows after
    /// `begin` follow. Also called when a follower that stores nothing begins.
    async fn reset(&self, begin: &Applied) -> Result<(), ApplyError>;

    /// Rows in order, contiguous, after their tombstones are installed and before they are
    /// acknowledged. Rows that failed come again.
    async fn apply(&self, history: &History, rows: &[LogRow]) -> Result<(), ApplyError>;
}

/// Rows could not be applied. Nothing is acknowledged and the lease is not extended until a later
/// attempt succeeds.
#[derive(Debug, thiserror::Error)]
#[error("applying the log: {0}")]
pub struct ApplyError(#[from] Box<dyn Error + Send + Sync>);

impl ApplyError {
    /// An error with this cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Why facts may not be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is no current lease: changes may have returned that this process has not heard of.
    #[error("no current lease")]
    NoLease,
    /// A scope changed after the facts were read, or they are from before the floor.
    #[error("facts are older than a change of what they are about")]
    Stale {
        /// What newer facts must reflect.
        needed: Position,
    },
    /// The facts count in another history than this follower.
    #[error("facts are of another history")]
    ForeignHistory,
}

/// Makes a follower and the task that keeps it current.
#[must_use]
pub fn follow(settings: Settings, deps: Deps) -> (Follower, Driver) {
    let (ready, _) = watch::channel(false);
    let shared = Arc::new(Shared { clock: Arc::clone(&deps.clock), line: None.into(), ready });
    (Follower(Arc::clone(&shared)), Driver::new(settings, deps, shared))
}

/// What the driver writes and everybody else reads.
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    /// The current registration. Lease and tombstones live and die with it, so that the lease of
    /// one is never taken together with the tombstones of another.
    line: ArcSwapOption<Line>,
    ready: watch::Sender<bool>,
}

/// Answers whether facts may be used now. Cheap to clone, and to ask: no lock on the usual path.
#[derive(Clone)]
pub struct Follower(Arc<Shared>);

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("applied", &self.applied()).finish_non_exhaustive()
    }
}

impl Follower {
    /// Is there a lease now?
    #[must_use]
    pub fn lease_current(&self) -> bool {
        self.lease_current_at(self.0.clock.tick())
    }

    /// The same at `now`, for who has just read the clock.
    #[must_use]
    pub fn lease_current_at(&self, now: Tick) -> bool {
        self.0.line.load().as_ref().is_some_and(|line| line.lease.is_current(now))
    }

    /// For how long the lease is still current; zero without one.
    #[must_use]
    pub fn lease_left(&self) -> Duration {
        let now = self.0.clock.tick();
        self.0.line.load().as_ref().map_or(Duration::ZERO, |line| line.lease.left(now))
    }

    /// Up to where the log is applied; `None` before the first registration and after a reset.
    #[must_use]
    pub fn applied(&self) -> Option<Position> {
        self.0.line.load().as_ref().map(|line| line.applied())
    }

    /// The tombstone rule and the lease: may facts as of `as_of` with these scopes be used now?
    ///
    /// # Errors
    /// [`Rejected`] says why not.
    pub fn admit(
        &self,
        as_of: &Position,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(), Rejected> {
        self.admit_at(self.0.clock.tick(), as_of, scopes)
    }

    /// The same at `now`, for who has read the clock since it was asked.
    ///
    /// # Errors
    /// [`Rejected`] says why not.
    pub fn admit_at(
        &self,
        now: Tick,
        as_of: &Position,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(), Rejected> {
        let line = self.0.line.load();
        let line = line.as_ref().ok_or(Rejected::NoLease)?;
        // The lease first. Every cut that had returned while it was current is a tombstone by
        // then, and is seen below. The other way round, a renewal between the two steps would
        // vouch for tombstones that were read before it.
        if !line.lease.is_current(now) {
            return Err(Rejected::NoLease);
        }
        line.check(as_of, scopes)
    }

    /// The tombstone rule alone, for facts that were read after whoever uses them had asked: what
    /// had returned by then is in them, with or without a lease. Without a registration there is
    /// no tombstone.
    ///
    /// # Errors
    /// [`Rejected::Stale`] or [`Rejected::ForeignHistory`].
    pub fn check(
        &self,
        as_of: &Position,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<(), Rejected> {
        self.0.line.load().as_ref().map_or(Ok(()), |line| line.check(as_of, scopes))
    }

    /// How many tombstones there are.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.0.line.load().as_ref().map_or(0, |line| line.tombstones.len())
    }

    /// Waits for the first lease.
    pub async fn wait_ready(&self) {
        // The sender lives as long as `self`, so this ends only when the value is true.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }
}
