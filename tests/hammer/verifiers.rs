//! The verifiers, each asked by itself, each answer judged.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_contract::{
    Transport,
    proto::verification::v1::{
        VerifyRequest, verification_service_client::VerificationServiceClient,
        verify_response::Verdict,
    },
};
use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;
use keystile_tests::Deployment;
use tokio::{sync::Semaphore, task::JoinHandle};
use tonic::{Code, Request};

use crate::{
    ledger::{Answer, Finding, Question, Tally},
    team::{ECHO, SOURCE},
};

/// Longer than any verifier is stopped for: its answers after that are the ones that count.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Questions at one verifier that nobody waits for any more.
const OUTSTANDING: usize = 256;
/// Questions that are kept to be put again.
const RECENT: usize = 1024;

/// All of them.
pub(crate) struct Verifiers {
    clients: Vec<VerificationServiceClient<Transport>>,
    outstanding: Vec<Arc<Semaphore>>,
    lease: Duration,
    pub(crate) tally: Tally,
    recent: Mutex<Vec<Arc<Question>>>,
}

impl Verifiers {
    /// Those of `deployment`, whose leases last for `lease`.
    pub(crate) fn new(deployment: &Deployment, lease: Duration) -> Arc<Self> {
        let clients: Vec<_> =
            deployment.verifiers().into_iter().map(VerificationServiceClient::new).collect();
        let outstanding = clients.iter().map(|_| Arc::new(Semaphore::new(OUTSTANDING))).collect();
        let (tally, recent) = (Tally::default(), Mutex::default());
        Arc::new(Self { clients, outstanding, lease, tally, recent })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Puts a question to one of them and judges the answer.
    pub(crate) async fn ask(&self, index: usize, question: &Question) -> Finding {
        let mut request = Request::new(VerifyRequest {
            token: question.token.clone(),
            component: ECHO.to_owned(),
            source_ip: SOURCE.to_owned(),
            ..VerifyRequest::default()
        });
        request.set_timeout(TIMEOUT);
        let asked = question.asked(SystemClock.tick());
        let answer = match self.clients[index].clone().verify(request).await {
            Ok(answer) => match answer.into_inner().verdict.expect("a verdict") {
                Verdict::Allowed(facts) => Answer::Allowed {
                    requests_per_minute: facts.limits.and_then(|limits| limits.requests_per_minute),
                },
                Verdict::Refused(refused) => Answer::Refused(refused.reason()),
            },
            Err(status) => {
                let none = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
                assert!(none, "{status:?}");
                Answer::Unavailable
            }
        };
        let finding = question.judge(&asked, answer, self.lease);
        self.tally.count(&format!("verifier {}", index + 1), &finding);
        finding
    }

    /// Puts a question to one of them without waiting; nothing if too many wait there already.
    pub(crate) fn put(
        self: &Arc<Self>,
        index: usize,
        question: &Arc<Question>,
    ) -> Option<JoinHandle<Finding>> {
        let permit = Arc::clone(&self.outstanding[index]).try_acquire_owned().ok()?;
        let (verifiers, question) = (Arc::clone(self), Arc::clone(question));
        Some(tokio::spawn(async move {
            let _permit = permit;
            verifiers.ask(index, &question).await
        }))
    }

    /// Waits until nobody is asked any more.
    pub(crate) async fn settled(&self) {
        for outstanding in &self.outstanding {
            let all = u32::try_from(OUTSTANDING).expect("small");
            drop(outstanding.acquire_many(all).await.expect("open"));
        }
    }

    /// Keeps a question to be put again and again.
    pub(crate) fn remember(&self, question: &Arc<Question>, random: usize) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() < RECENT {
            recent.push(Arc::clone(question));
        } else {
            recent[random % RECENT] = Arc::clone(question);
        }
    }

    /// One of those.
    pub(crate) fn recent(&self, random: usize) -> Option<Arc<Question>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(random % recent.len().max(1)).cloned()
    }
}
