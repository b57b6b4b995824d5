//! What the faults and the workload did, summed over all seeds. A zero would mean that the
//! simulation no longer simulates.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

macro_rules! counts {
    ($($name:ident: $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum What { $($name,)* }

        const TEXTS: &[&str] = &[$($text,)*];
    };
}

counts! {
    Seed: "seeds",
    CutAcknowledged: "cuts returned: every follower acknowledged",
    CutWaited: "cuts returned: waited out",
    CutTimed: "cuts whose time was held against W",
    CutPending: "cuts answered as pending, then resumed",
    Give: "changes that give access",
    Allowed: "verifies: allowed",
    Refused: "verifies: refused",
    Unavailable: "verifies: unavailable",
    AfterCut: "verifies of what was cut, after it",
    AfterGive: "verifies of what was given, after a renewal",
    Alone: "verifies with neither lease nor issuance",
    LostRequest: "faults: request lost",
    LostAnswer: "faults: answer lost",
    Refusal: "faults: connection refused",
    Late: "faults: message late",
    Twice: "faults: request delivered twice",
    StreamCut: "faults: stream cut",
    Partition: "faults: partition",
    PauseVerifier: "faults: verifier paused",
    PauseIssuance: "faults: issuance paused",
    CrashVerifier: "faults: verifier killed, started again",
    CrashIssuance: "faults: issuance killed, started again",
    NewsLost: "faults: news between issuance processes lost",
    CommitUnheard: "faults: commit that nobody heard of",
    ReadFailed: "faults: read of the database failed",
    AnsweredUnrecorded: "faults: record of answered followers failed",
    L2Absent: "faults: L2 absent",
    L2Slow: "faults: L2 slow",
    L2Emptied: "faults: L2 emptied",
    L2Replay: "faults: L2 replayed an older entry",
    Failover: "faults: failover to another history",
    RowLost: "faults: failover that lost a row that was read",
    Restore: "faults: restore without registrations",
    Retired: "followers retired",
}

/// Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Counts(Arc<[AtomicU64]>);

impl Default for Counts {
    fn default() -> Self {
        Self(TEXTS.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counts {
    pub(crate) fn one(&self, what: What) {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Prints all of them.
    pub(crate) fn print(&self) {
        for (text, count) in TEXTS.iter().zip(self.0.iter()) {
            println!("{:>9} {text}", count.load(Ordering::Relaxed));
        }
    }

    /// What never happened.
    pub(crate) fn zeroes(&self) -> Vec<&'static str> {
        let never = |(_, count): &(&&str, &AtomicU64)| count.load(Ordering::Relaxed) == 0;
        TEXTS.iter().zip(self.0.iter()).filter(never).map(|(text, _)| *text).collect()
    }
}
