//! What is where: the database, the log's reader at issuance, the followers. Small integers only,
//! since every state that can be reached is visited.

/// Rows of the log, at most.
pub(crate) const ROWS: usize = 3;
/// Incarnations that may register, at most.
pub(crate) const INCARNATIONS: usize = 4;

/// A point of the log: everything up to row `seq` of a branch. Branch 1 begins where the database
/// was rewound to, and shares the rows up to there with branch 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Position {
    pub(crate) branch: u8,
    pub(crate) seq: u8,
}

/// What a row does to the one key that is verified. It works before the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Kind {
    /// Nothing: it is about another scope.
    #[default]
    Other,
    /// It stops.
    Cut,
    /// It works again.
    Give,
}

/// How far the row of a cut has come. A bit of `followers` is an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Stage {
    /// It is no cut, or there is no such row.
    #[default]
    None,
    /// Readers may see it, its coordinator has not heard so.
    Committed { followers: u8 },
    /// The barrier runs, in the history of `branch`.
    Waiting { followers: u8, branch: u8, waited: u8 },
    /// OK was returned.
    Returned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Registration {
    #[default]
    Free,
    Live,
    /// Marked; so long ago on the clock of a process that saw the mark.
    Retiring(u8),
    Removed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Incarnation {
    pub(crate) registration: Registration,
    /// The furthest acknowledgement that it sent.
    pub(crate) acknowledged: Position,
}

/// A registration as the follower holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) incarnation: u8,
    pub(crate) applied: Position,
    /// The newest row of the key's scope that is installed.
    pub(crate) tombstone: u8,
    pub(crate) floor: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// On its way to issuance.
    Sent,
    /// Issuance read this head; the answer is on its way.
    Read(Position),
    /// Its tail is applied.
    Applied,
    /// Only without the guard: the lease is extended and the tail is not applied.
    Extended(Position),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Renewal {
    pub(crate) step: Step,
    /// Since t0.
    pub(crate) age: u8,
    /// The newest change that gives access and had returned at t0.
    pub(crate) given: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Stand {
    #[default]
    Idle,
    Invoked,
    /// The lease was current, and L2 is asked or a look-up is joined.
    Fetching,
    /// Facts that were read earlier are here: from L2, or from a look-up that was joined.
    Fetched {
        as_of: Position,
        forged: bool,
    },
    /// The lease was current; the tombstones come next.
    Leased {
        as_of: Position,
        forged: bool,
    },
    /// Its own look-up is on its way to issuance.
    Asked,
    /// The answer to its own look-up is on its way back.
    Answered(Position),
}

/// One Verify. What is under the line is known to the model only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Verify {
    pub(crate) stand: Stand,
    /// The lease of the present line ends after the clock as it was read when Verify was invoked.
    pub(crate) leased: bool,
    // --
    /// The newest cut that had returned when it was invoked; sequence 0 if none.
    pub(crate) cut: Position,
    /// The newest change that gives access which the node must reflect; sequence 0 if none.
    pub(crate) given: Position,
    /// What it goes by was picked up under a lease.
    pub(crate) had_lease: bool,
}

impl Verify {
    /// Is it of any consequence whether there is a lease?
    pub(crate) fn asks_for_lease(&self) -> bool {
        matches!(self.stand, Stand::Invoked | Stand::Fetching | Stand::Fetched { .. })
    }
}

/// A process that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Node {
    pub(crate) line: Option<Line>,
    /// How long the lease still lasts.
    pub(crate) lease: u8,
    pub(crate) renewal: Option<Renewal>,
    pub(crate) l1: Option<Position>,
    pub(crate) verify: Verify,
    /// The newest change that gives access and had returned when the last renewal was sent.
    pub(crate) given: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Invariant {
    I1,
    I2,
    I4,
    I6,
}

impl Invariant {
    pub(crate) const ALL: [Self; 4] = [Self::I1, Self::I2, Self::I4, Self::I6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I4 => "I4",
            Self::I6 => "I6",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State<const NODES: usize> {
    /// The branch of the log that the database is on.
    pub(crate) branch: u8,
    pub(crate) head: u8,
    /// Branch 1 shares the rows up to this one.
    pub(crate) fork: u8,
    /// Where branch 0 ended.
    pub(crate) lost_head: u8,
    /// Up to here, issuance heard that the commit succeeded.
    pub(crate) durable: u8,
    pub(crate) settled: bool,
    /// How long ago a process first read the unsettled history.
    pub(crate) observed: Option<u8>,
    pub(crate) log: [[Kind; ROWS]; 2],
    /// A transaction that holds the epoch's lock, with the followers that it read.
    pub(crate) open: Option<(Kind, u8)>,
    pub(crate) stages: [Stage; ROWS],
    pub(crate) incarnations: [Incarnation; INCARNATIONS],
    pub(crate) nodes: [Node; NODES],
    pub(crate) broken: Option<Invariant>,
}

impl<const NODES: usize> State<NODES> {
    pub(crate) fn new() -> Self {
        Self {
            branch: 0,
            head: 0,
            fork: 0,
            lost_head: 0,
            durable: 0,
            settled: true,
            observed: None,
            log: Default::default(),
            open: None,
            stages: Default::default(),
            incarnations: Default::default(),
            nodes: [Node::default(); NODES],
            broken: None,
        }
    }

    pub(crate) fn head(&self) -> Position {
        Position { branch: self.branch, seq: self.head }
    }

    /// The last row that a branch ever had.
    pub(crate) fn end_of(&self, branch: u8) -> u8 {
        if branch == self.branch { self.head } else { self.lost_head }
    }

    /// Every point at which somebody may ever have read the database.
    pub(crate) fn ever(&self) -> impl Iterator<Item = Position> + use<NODES> {
        let ends = [self.end_of(0), self.end_of(1)];
        (0..=self.branch).flat_map(move |branch| {
            (0..=ends[usize::from(branch)]).map(move |seq| Position { branch, seq })
        })
    }

    pub(crate) fn kind(&self, at: Position) -> Kind {
        self.log[usize::from(at.branch)][usize::from(at.seq) - 1]
    }

    /// Does the key work by the facts as of `at`?
    pub(crate) fn works(&self, at: Position) -> bool {
        let rows = &self.log[usize::from(at.branch)][..usize::from(at.seq)];
        rows.iter().rev().find(|kind| **kind != Kind::Other) != Some(&Kind::Cut)
    }

    /// Is it the very same row?
    pub(crate) fn same_row(&self, one: Position, other: Position) -> bool {
        one.seq == other.seq && (one.branch == other.branch || one.seq <= self.fork)
    }

    /// Is `row` one of the rows up to `at`?
    pub(crate) fn holds(&self, at: Position, row: Position) -> bool {
        row.seq <= at.seq && self.same_row(row, Position { seq: row.seq, ..at })
    }

    /// The last row up to `limit` that satisfies `which`, sequence 0 if there is none.
    pub(crate) fn last(&self, limit: u8, which: impl Fn(&Self, Position) -> bool) -> Position {
        let rows = (1..=limit).rev().map(|seq| Position { branch: self.branch, seq });
        let mut found = rows.filter(|row| which(self, *row));
        let row = found.next().unwrap_or_default();
        // One name for a row of both branches, so that no two states differ by it alone.
        if row.seq <= self.fork { Position { branch: 0, ..row } } else { row }
    }

    pub(crate) fn last_returned_cut(&self) -> Position {
        self.last(self.head, |state, row| state.stages[usize::from(row.seq) - 1] == Stage::Returned)
    }

    pub(crate) fn last_given(&self) -> Position {
        self.last(self.durable, |state, row| state.kind(row) == Kind::Give)
    }
}
