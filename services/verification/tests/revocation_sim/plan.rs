//! What a run is made of: how bad everything is, and which faults come how often.

use std::time::Duration;

use crate::{net::Noise, rng::Rng, store::Troubles, twins::Twin};

/// A fault that begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Episode {
    /// A verifier is cut off from both processes of issuance, or from one.
    Partition,
    PauseVerifier,
    PauseIssuance,
    CrashVerifier,
    CrashIssuance,
    CutStreams,
    L2Absent,
    L2Slow,
    L2Emptied,
    L2Replaying,
    Failover,
    /// A row was read that the failover loses.
    FailoverLosing,
    Restore,
}

use Episode::{
    CrashIssuance, CrashVerifier, CutStreams, Failover, FailoverLosing, L2Absent, L2Emptied,
    L2Replaying, L2Slow, Partition, PauseIssuance, PauseVerifier, Restore,
};

/// Each as often as it stands here.
const EVERY: &[Episode] = &[
    Partition,
    Partition,
    Partition,
    PauseVerifier,
    PauseVerifier,
    PauseIssuance,
    CrashVerifier,
    CrashVerifier,
    CrashIssuance,
    CutStreams,
    CutStreams,
    L2Absent,
    L2Slow,
    L2Emptied,
    L2Replaying,
    L2Replaying,
    Failover,
    FailoverLosing,
    FailoverLosing,
    Restore,
];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) twin: Option<Twin>,
    pub(crate) length: Duration,
    pub(crate) noise: Noise,
    pub(crate) troubles: Troubles,
    /// How wrong the wall clocks of issuance may be, seconds.
    pub(crate) skew: i64,
    pub(crate) episodes: &'static [Episode],
    /// The longest pause between the beginnings of two, in milliseconds.
    pub(crate) every: u64,
    /// For how long episodes begin.
    pub(crate) raging: Duration,
    /// What every call of a verifier takes on top.
    pub(crate) distance: Duration,
    /// Are the clocks of verification as slow and those of issuance as fast as they may be?
    pub(crate) opposed: bool,
    /// Do verifiers reach the first process of issuance only?
    pub(crate) one_answers: bool,
    /// All verifiers but the first start within so many milliseconds.
    pub(crate) joining: u64,
}

impl Plan {
    /// A verifier dies, and there is the time and the calm in which it is retired.
    const RETIREMENT: Self = Self {
        length: Duration::from_secs(24),
        episodes: &[CrashVerifier],
        every: 500,
        raging: Duration::from_secs(1),
        ..Self::CALM
    };

    const CALM: Self = Self {
        twin: None,
        length: Duration::from_secs(8),
        raging: Duration::from_secs(8),
        noise: Noise::NONE,
        troubles: Troubles::NONE,
        skew: 0,
        episodes: &[],
        every: 600,
        distance: Duration::ZERO,
        opposed: false,
        one_answers: false,
        joining: 0,
    };

    /// That of a seed.
    pub(crate) fn drawn(rng: &Rng) -> Self {
        if rng.chance(40) {
            return Self::RETIREMENT;
        }
        let rough = rng.below(4);
        let length = Duration::from_secs(if rng.chance(80) { 20 } else { 6 });
        Self {
            twin: None,
            length,
            raging: length,
            noise: Noise {
                lost: rough * 8,
                late: rough * 20,
                twice: rough * 10,
                stream_cut: rough * 4,
                latest: rng.millis(30, 1_500),
            },
            troubles: Troubles {
                slow: rough * 30,
                read_failed: rough * 2,
                commit_unheard: rough * 8,
                news_lost: rough * 60,
                unrecorded: rough * 100,
            },
            // Beyond the silence for which a follower is retired, live ones are.
            skew: if rng.chance(300) { 20 } else { 1 },
            episodes: EVERY,
            every: rng.below(1_500) + 200,
            distance: Duration::ZERO,
            opposed: false,
            one_answers: false,
            joining: if rng.chance(300) { 3_000 } else { 0 },
        }
    }

    /// One in which the absence of a guard shows, and nothing else goes wrong.
    pub(crate) fn of(twin: Twin) -> Self {
        let plain = Self { twin: Some(twin), ..Self::CALM };
        // Rows come with renewals only.
        let unpushed = Noise { stream_cut: 1_000, ..Noise::NONE };
        match twin {
            Twin::Wait | Twin::LeaseCheck => {
                Self { episodes: &[Partition, PauseVerifier], ..plain }
            }
            Twin::DriftMargin => {
                Self { episodes: &[Partition], every: 300, noise: unpushed, opposed: true, ..plain }
            }
            Twin::TimeFromSend => {
                let distance = Duration::from_millis(250);
                Self { episodes: &[Partition], noise: unpushed, distance, ..plain }
            }
            Twin::ApplyBeforeExtend => Self { noise: unpushed, ..plain },
            Twin::Tombstone | Twin::FillRule | Twin::AcknowledgeAfterApply => plain,
            // No follower that died before is waited for.
            Twin::RegisterUnderLock => {
                let length = Duration::from_secs(3);
                Self { noise: unpushed, joining: 2_000, length, ..plain }
            }
            Twin::Seal => Self { episodes: &[CrashVerifier], ..plain },
            Twin::History | Twin::DurableRepeat => {
                Self { episodes: &[FailoverLosing], every: 400, ..plain }
            }
            // One process answers and fails to record it, the other finds everybody silent.
            Twin::RetireThenCount => {
                let troubles = Troubles { unrecorded: 1_000, ..Troubles::NONE };
                Self { skew: 25, noise: unpushed, troubles, one_answers: true, ..plain }
            }
            Twin::Settle => Self { episodes: &[Restore], every: 400, ..plain },
        }
    }
}
