//! What a run of the model may do, and which guards hold.

use crate::state::Kind;

/// A lease lasts so many ticks of a clock that is right.
pub(crate) const LEASE: u8 = 1;
/// The slowest clock that rho admits takes so many ticks more for it. A follower that takes longer
/// is one with a slower clock, so leases are modelled as long as they can be; one that ends sooner
/// is a [`crate::model::Action::Lapse`].
pub(crate) const DRIFT: u8 = 1;
/// How long a lease can really last.
pub(crate) const LONGEST: u8 = LEASE + DRIFT;

/// What keeps the invariants. Each can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A cut waits W for followers that did not acknowledge.
    Wait,
    /// The lease counts from t0, noted before the renewal is sent.
    TimeFromSend,
    /// The tail of a renewal is applied before the lease is extended.
    ApplyBeforeExtend,
    /// A row leaves a tombstone, not only an eviction.
    Tombstone,
    /// A tombstone is dropped only by raising the floor.
    Floor,
    /// What was looked up is held against the tombstones before it is kept or used.
    FillRule,
    /// A follower registers under the epoch's lock.
    RegisterUnderLock,
    /// W is longer than L by what clocks differ.
    DriftMargin,
    /// What was read earlier is used under a current lease only.
    LeaseCheck,
    /// The lease is asked again when an answer that was waited for is used.
    LeaseCheckAtUse,
    /// A row is acknowledged after it is applied.
    AcknowledgeAfterApply,
    /// An entry of L2 that verification did not seal is none.
    Seal,
    /// A row is applied, and an acknowledgement counted, only onto the row that it names.
    Nonce,
    /// Positions of another history are worth nothing.
    History,
    /// A retiring follower is counted until its last lease is over.
    RetireThenCount,
    /// No cut returns in a history that is not settled.
    Settle,
}

impl Guard {
    pub(crate) const ALL: [Self; 16] = [
        Self::Wait,
        Self::TimeFromSend,
        Self::ApplyBeforeExtend,
        Self::Tombstone,
        Self::Floor,
        Self::FillRule,
        Self::RegisterUnderLock,
        Self::DriftMargin,
        Self::LeaseCheck,
        Self::LeaseCheckAtUse,
        Self::AcknowledgeAfterApply,
        Self::Seal,
        Self::Nonce,
        Self::History,
        Self::RetireThenCount,
        Self::Settle,
    ];
}

/// How the database may be rewound, once. No row is lost whose commit issuance heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewind {
    /// Another server takes over: the history id is new.
    Failover,
    /// A backup is restored: the history id is new, and registrations may be missing.
    Restore,
    /// A copy of the files is put back while issuance is stopped: the history id stays.
    Copy,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    /// The guard that is taken away.
    pub(crate) without: Option<Guard>,
    /// How many rows there may be of each kind: other, cut, give.
    pub(crate) rows: [u8; 3],
    pub(crate) incarnations: u8,
    /// The node begins registered at the head of a log of one other row, with an entry in L1.
    pub(crate) warm: bool,
    /// A change takes the lock, then commits, as two steps.
    pub(crate) open_transactions: bool,
    /// Verify asks issuance, and L2.
    pub(crate) lookups: bool,
    pub(crate) l2: bool,
    /// A row arrives at a follower by `Watch`, too.
    pub(crate) pushes: bool,
    pub(crate) crash_follower: bool,
    pub(crate) crash_issuance: bool,
    /// A session breaks: rows lost on the way, a refusal by issuance.
    pub(crate) breaks: bool,
    pub(crate) retire: bool,
    /// Tombstones are dropped for their age or number; registrations begin at a floor above 0.
    pub(crate) floors: bool,
    pub(crate) rewind: Option<Rewind>,
    /// Every node verifies, or only the first.
    pub(crate) all_verify: bool,
}

impl Config {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            without: None,
            rows: [0, 1, 0],
            incarnations: 2,
            warm: false,
            open_transactions: false,
            lookups: true,
            l2: false,
            pushes: true,
            crash_follower: false,
            crash_issuance: false,
            breaks: false,
            retire: false,
            floors: false,
            rewind: None,
            all_verify: true,
        }
    }

    pub(crate) fn guards(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// W.
    pub(crate) fn wait(&self) -> u8 {
        if self.guards(Guard::DriftMargin) { LEASE + DRIFT } else { LEASE }
    }

    pub(crate) fn limit(&self, kind: Kind) -> u8 {
        let [other, cut, give] = self.rows;
        match kind {
            Kind::Other => other,
            Kind::Cut => cut,
            Kind::Give => give,
        }
    }

    /// The history id that a position of this branch carries.
    pub(crate) fn history(&self, branch: u8) -> u8 {
        match self.rewind {
            Some(Rewind::Failover | Rewind::Restore) if self.guards(Guard::History) => branch,
            _ => 0,
        }
    }
}
