//! Makes keys, changes and cuts them, and asks at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use keystile_domain::{Clock as _, Entropy, entropy};
use keystile_runtime::SystemClock;
use keystile_testkit::SeededEntropy;
use tokio::time::timeout;

use crate::{
    ledger::{Finding, Question, Truth},
    table::Sample,
    team::{Cut, LOWERED, Settled, Team},
    verifiers::Verifiers,
};

/// How long an answer is waited for where it is asked; a verifier that is stopped answers later.
const ATTENTION: Duration = Duration::from_millis(300);
/// From when a key has an earlier end until that end.
const LAST_MOMENTS: Duration = Duration::from_millis(250);

/// What all who hammer share.
pub(crate) struct Scene {
    pub(crate) verifiers: Arc<Verifiers>,
    /// What happens to the deployment now, as an index into the rows of the table.
    pub(crate) row: AtomicUsize,
    pub(crate) samples: Mutex<Vec<Sample>>,
    pub(crate) over: AtomicBool,
    /// How many verifiers are asked about each cut.
    pub(crate) breadth: usize,
}

impl Scene {
    /// Cuts that returned so far.
    pub(crate) fn cuts(&self) -> usize {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Notes a cut that returned and began in `row`.
    pub(crate) fn note<T>(&self, row: usize, cut: &Settled<T>) {
        let receipt = cut.receipt.as_ref().expect("a cut returns a receipt");
        // One that meets a fault on its way belongs to the fault.
        let row = row.max(self.row.load(Relaxed));
        let sample = Sample { row, took: cut.took, waited_out: receipt.waited_out > 0 };
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }

    /// Puts a question to these verifiers and waits for those that answer soon.
    pub(crate) async fn ask(
        &self,
        question: &Arc<Question>,
        verifiers: &[usize],
    ) -> Vec<Option<Finding>> {
        let put = verifiers.iter().map(|index| self.verifiers.put(*index, question));
        let put: Vec<_> = put.collect();
        let answers = put.into_iter().map(|handle| async move {
            let answered = timeout(ATTENTION, handle?).await.ok()?;
            Some(answered.expect("joins"))
        });
        futures::future::join_all(answers).await
    }

    /// Asks these verifiers until those that answer soon allow it, as they must once a renewal has
    /// passed: it is in their memory then.
    pub(crate) async fn warm(&self, question: &Arc<Question>, verifiers: &[usize]) {
        let mut left = verifiers.to_vec();
        while !left.is_empty() {
            let answers = self.ask(question, &left).await;
            let early = left.into_iter().zip(answers);
            left = early
                .filter(|(_, answer)| *answer == Some(Finding::Early))
                .map(|(index, _)| index)
                .collect();
        }
    }
}

/// What a change that gave access leaves.
pub(crate) fn given(most: Option<u32>) -> Truth {
    Truth::Given { since: SystemClock.tick(), most }
}

/// Keys of a team of its own, one at a time.
pub(crate) struct Cutter {
    scene: Arc<Scene>,
    team: Team,
    random: SeededEntropy,
}

impl Cutter {
    pub(crate) const fn new(scene: Arc<Scene>, team: Team, seed: u64) -> Self {
        Self { scene, team, random: SeededEntropy::new(seed) }
    }

    /// A number from 0 to `below`, which is not in it.
    fn random(&self, below: usize) -> usize {
        let random = u32::from_le_bytes(entropy::bytes(&self.random as &dyn Entropy));
        random as usize % below
    }

    /// Some verifiers, no one twice.
    fn some(&self) -> Vec<usize> {
        let count = self.scene.verifiers.count();
        let first = self.random(count);
        (0..self.scene.breadth.min(count)).map(|step| (first + step) % count).collect()
    }

    /// Cuts until it is over.
    pub(crate) async fn run(mut self) {
        let mut key = self.create().await;
        while !self.scene.over.load(Relaxed) {
            key = self.round(key).await;
        }
    }

    /// Makes so many cuts.
    pub(crate) async fn make(&mut self, cuts: usize) {
        let mut key = self.create().await;
        for _ in 0..cuts {
            key = self.round(key).await;
        }
    }

    async fn create(&self) -> (String, Arc<Question>) {
        loop {
            if let Some((id, token)) = self.team.key().await.value {
                let question = self.question(&id, token);
                return (id, question);
            }
        }
    }

    fn question(&self, key: &str, token: String) -> Arc<Question> {
        let question = Arc::new(Question::new(key.to_owned(), token));
        question.turn(given(None));
        self.scene.verifiers.remember(&question, self.random(usize::MAX));
        question
    }

    /// One cut of a key. Returns the key if it goes on, else another.
    async fn round(&mut self, (id, question): (String, Arc<Question>)) -> (String, Arc<Question>) {
        let cut = Cut::ALL[self.random(Cut::ALL.len())];
        let verifiers = self.some();
        self.scene.warm(&question, &verifiers).await;
        // The other secret, where there are two.
        let mut other = None;
        if cut == Cut::EndOverlap {
            other = self.team.rotate(&id).await.value.map(|token| self.question(&id, token));
        }
        let row = self.scene.row.load(Relaxed);
        question.turn(Truth::Open);
        match cut {
            Cut::Regenerate => {
                let settled = self.team.regenerate(&id).await;
                question.turn(Truth::Cut);
                self.scene.note(row, &settled);
                other = settled.value.map(|token| self.question(&id, token));
            }
            Cut::Expire => {
                let (settled, left) = self.team.expire(&id, LAST_MOMENTS).await;
                self.scene.note(row, &settled);
                // It is cut from an instant on: that is what was asked for.
                tokio::time::sleep(left + Duration::from_millis(1)).await;
                question.turn(Truth::Cut);
            }
            _ => {
                let settled = self.team.cut(&id, cut).await;
                question.turn(match cut {
                    Cut::LowerLimit => given(Some(LOWERED)),
                    _ => Truth::Cut,
                });
                self.scene.note(row, &settled);
            }
        }
        self.scene.ask(&question, &verifiers).await;
        match cut {
            Cut::Revoke | Cut::Delete => self.create().await,
            // Without its new token a key is of no more use.
            Cut::Regenerate | Cut::EndOverlap => match other {
                Some(question) => (id, question),
                None => self.create().await,
            },
            _ => {
                question.turn(Truth::Open);
                self.team.give_back(&id, cut).await;
                question.turn(given(None));
                (id, question)
            }
        }
    }
}
