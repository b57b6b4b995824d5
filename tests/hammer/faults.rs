//! What happens to the deployment while it is hammered, and how it is known to have healed.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures::future::join_all;
use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;
use keystile_tests::{Deployment, cluster::deployment::verifier};

use crate::{
    cutter::{Scene, given},
    ledger::{Finding, Question, Truth},
    team::{Cut, Team},
};

/// How long anything may take to heal.
const HEALED: Duration = Duration::from_mins(1);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    EmptyCache,
    RestartCache,
    KillIssuance,
    RestartDatabase,
    StopVerifier,
    CutNetwork,
    KillVerifier,
}

impl Fault {
    /// Those after which a follower stays dead for a while come last.
    pub(crate) const ALL: [Self; 7] = [
        Self::EmptyCache,
        Self::RestartCache,
        Self::KillIssuance,
        Self::RestartDatabase,
        Self::StopVerifier,
        Self::CutNetwork,
        Self::KillVerifier,
    ];

    /// Its place among the rows of the table.
    pub(crate) fn row(self) -> usize {
        2 + Self::ALL.iter().position(|fault| *fault == self).expect("one of them")
    }

    /// Is a follower out of reach, so that cuts have to wait for its lease?
    pub(crate) const fn has_dead_follower(self) -> bool {
        matches!(self, Self::StopVerifier | Self::CutNetwork | Self::KillVerifier)
    }
}

/// The rows of the table: before everything else, and between faults; then each fault.
pub(crate) const ROWS: [&str; 9] = [
    "healthy, one at a time",
    "healthy, full load",
    "FLUSHALL",
    "Redis restart",
    "kill -9 issuance",
    "Postgres restart",
    "SIGSTOP verifier",
    "network cut",
    "kill -9 verifier",
];
pub(crate) const ALONE: usize = 0;
pub(crate) const HEALTHY: usize = 1;

/// Keys that every verifier allows from memory when a fault begins, and that are cut during it.
type Doomed = Vec<(String, Arc<Question>)>;

/// Who breaks things.
pub(crate) struct Saboteur<'d> {
    pub(crate) deployment: &'d mut Deployment,
    pub(crate) scene: Arc<Scene>,
    pub(crate) team: Team,
    /// A key that is never cut.
    pub(crate) standing: Arc<Question>,
    /// Keys that are cut during each fault.
    pub(crate) doomed: usize,
    /// How long at least a follower is out of reach.
    pub(crate) outage: Duration,
}

impl Saboteur<'_> {
    /// Brings about a fault, cuts keys during it, and ends it. Healing is not awaited.
    pub(crate) async fn bring_about(&mut self, fault: Fault, turn: usize) {
        let doomed = self.doom().await;
        let victim = self.victim(fault, turn);
        let issuance = format!("issuance-{}", turn % 2 + 1);
        self.scene.row.store(fault.row(), Relaxed);
        let began = SystemClock.tick();
        match fault {
            Fault::EmptyCache => self.deployment.flush_cache(),
            Fault::RestartCache => self.deployment.lose("redis"),
            Fault::KillIssuance => self.deployment.lose(&issuance),
            Fault::RestartDatabase => self.deployment.lose("postgres"),
            Fault::StopVerifier => self.deployment.freeze(victim),
            Fault::CutNetwork => {
                self.deployment.wires(victim).iter().for_each(keystile_tests::Wire::silence);
            }
            Fault::KillVerifier => self.deployment.lose(&verifier(victim)),
        }
        // Without a database nothing can be cut.
        if fault == Fault::RestartDatabase {
            self.deployment.restore("postgres").await;
        }
        self.carry_out(&doomed).await;
        let all: Vec<_> = (0..self.scene.verifiers.count()).collect();
        self.ask(&doomed, &all).await;
        if fault.has_dead_follower() {
            // Its length is what there is to wait for.
            let left = (began + self.outage).since(SystemClock.tick());
            tokio::time::sleep(left).await;
            self.ask(&doomed, &[victim]).await;
        }
        match fault {
            Fault::EmptyCache | Fault::RestartDatabase => {}
            Fault::RestartCache => self.deployment.restore("redis").await,
            Fault::KillIssuance => self.deployment.restore(&issuance).await,
            Fault::StopVerifier => self.deployment.thaw(victim),
            Fault::CutNetwork => {
                // Closed as well as silent: what was under way is lost.
                self.deployment.wires(victim).iter().for_each(keystile_tests::Wire::cut);
                self.ask(&doomed, &[victim]).await;
                self.deployment.wires(victim).iter().for_each(keystile_tests::Wire::mend);
            }
            Fault::KillVerifier => self.deployment.restore(&verifier(victim)).await,
        }
        self.ask(&doomed, &all).await;
    }

    /// Waits until every verifier answers, and a cut waits for nobody.
    pub(crate) async fn healed(&mut self) {
        self.deployment.ready().await;
        self.answers().await;
        let began = SystemClock.tick();
        let Some((id, _)) = self.team.key().await.value else { return };
        loop {
            let row = self.scene.row.load(Relaxed);
            let cut = self.team.cut(&id, Cut::Disable).await;
            self.scene.note(row, &cut);
            if cut.receipt.expect("of a cut").waited_out == 0 {
                break;
            }
            assert!(SystemClock.tick() < began + HEALED, "cuts still wait for somebody");
            self.team.give_back(&id, Cut::Disable).await;
        }
        self.scene.row.store(HEALTHY, Relaxed);
    }

    /// Waits until every verifier allows what is never cut.
    async fn answers(&self) {
        let began = SystemClock.tick();
        for index in 0..self.scene.verifiers.count() {
            while self.scene.verifiers.ask(index, &self.standing).await != Finding::Allowed {
                assert!(SystemClock.tick() < began + HEALED, "verifier {} is gone", index + 1);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Wires are at the last verifiers only.
    fn victim(&self, fault: Fault, turn: usize) -> usize {
        let all = 0..self.scene.verifiers.count();
        let candidates: Vec<_> = all
            .filter(|index| fault != Fault::CutNetwork || !self.deployment.wires(*index).is_empty())
            .collect();
        candidates[turn % candidates.len()]
    }

    async fn doom(&self) -> Doomed {
        let all: Vec<_> = (0..self.scene.verifiers.count()).collect();
        let made = join_all((0..self.doomed).map(|_| self.team.key())).await;
        let doomed: Doomed = made
            .into_iter()
            .filter_map(|made| made.value)
            .map(|(id, token)| (id.clone(), Arc::new(Question::new(id, token))))
            .collect();
        for (_, question) in &doomed {
            question.turn(given(None));
            self.scene.warm(question, &all).await;
        }
        doomed
    }

    async fn carry_out(&self, doomed: &Doomed) {
        let revoke = |(id, question): &(String, Arc<Question>)| {
            let (id, question) = (id.clone(), Arc::clone(question));
            async move {
                let row = self.scene.row.load(Relaxed);
                question.turn(Truth::Open);
                let cut = self.team.revoke(&id).await;
                question.turn(Truth::Cut);
                self.scene.note(row, &cut);
                // At once, wherever it was in memory.
                let all: Vec<_> = (0..self.scene.verifiers.count()).collect();
                self.scene.ask(&question, &all).await;
            }
        };
        join_all(doomed.iter().map(revoke)).await;
    }

    async fn ask(&self, doomed: &Doomed, verifiers: &[usize]) {
        join_all(doomed.iter().map(|(_, question)| self.scene.ask(question, verifiers))).await;
    }
}
