//! Any one part is lost and returns while requests are made: no answer in between is wrong, and
//! nobody has to help.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use keystile_contract::Transport;
use keystile_contract::proto::{
    common::v1::Refusal,
    verification::v1::{
        VerifyRequest, verification_service_client::VerificationServiceClient,
        verify_response::Verdict,
    },
};
use keystile_tests::{Api, Cluster};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

const ECHO: &str = "/api/v1/components/action.sandbox.echo/run";
/// How many requests of each kind are made while a part is lost.
const WHILE_LOST: usize = 3;
/// How many in a row must succeed before it counts as healed.
const HEALED: usize = 3;

/// What is asked, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Me,
    Run,
    Revoked,
    Forged,
    Verify,
    VerifyRevoked,
    Manage,
}

const KINDS: [Kind; 7] = [
    Kind::Me,
    Kind::Run,
    Kind::Revoked,
    Kind::Forged,
    Kind::Verify,
    Kind::VerifyRevoked,
    Kind::Manage,
];

/// An answer, as far as it may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// What is true.
    Right,
    /// 503, UNAVAILABLE, or no connection at all: the caller asks again.
    Unavailable,
    /// Anything else.
    Wrong(String),
}

struct Traffic {
    gateways: Vec<Api>,
    consoles: Vec<Api>,
    verification: VerificationServiceClient<Transport>,
    live: String,
    revoked: String,
    turn: AtomicUsize,
    over: AtomicBool,
    counts: Mutex<BTreeMap<Kind, Counts>>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    asked: usize,
    unavailable: usize,
    in_a_row: usize,
    wrong: Vec<String>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} asked, {} unavailable", self.asked, self.unavailable)
    }
}

impl Traffic {
    fn next<'a>(&self, of: &'a [Api]) -> &'a Api {
        &of[self.turn.fetch_add(1, Ordering::Relaxed) % of.len()]
    }

    async fn rest(&self, api: &Api, path: &str, body: Option<&Value>, right: u16) -> Answer {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        match api.try_send(method, path, &[], body).await {
            Err(_) => Answer::Unavailable,
            Ok(reply) if reply.status.as_u16() == right => Answer::Right,
            Ok(reply) if reply.status.as_u16() == 503 => Answer::Unavailable,
            Ok(reply) => Answer::Wrong(format!("{} {}", reply.status, reply.text)),
        }
    }

    async fn verify(&self, token: &str, right: fn(&Verdict) -> bool) -> Answer {
        let question = VerifyRequest {
            token: token.to_owned(),
            component: "action.sandbox.echo".to_owned(),
            ..VerifyRequest::default()
        };
        match self.verification.clone().verify(question).await {
            Ok(answer) => match answer.into_inner().verdict {
                Some(verdict) if right(&verdict) => Answer::Right,
                other => Answer::Wrong(format!("{other:?}")),
            },
            Err(status) if status.code() == Code::Unavailable => Answer::Unavailable,
            // Not an answer: the connection itself was lost.
            Err(status) if status.source().is_some() => Answer::Unavailable,
            Err(status) => Answer::Wrong(format!("{status:?}")),
        }
    }

    async fn ask(&self, kind: Kind) -> Answer {
        let as_key = |token: &str| self.next(&self.gateways).clone().with_token(token);
        let inputs = json!({"inputs": {"message": "hello"}});
        let me = "/api/v1/me";
        match kind {
            Kind::Me => self.rest(&as_key(&self.live), me, None, 200).await,
            Kind::Run => self.rest(&as_key(&self.live), ECHO, Some(&inputs), 200).await,
            Kind::Revoked => self.rest(&as_key(&self.revoked), ECHO, Some(&inputs), 401).await,
            Kind::Forged => self.rest(&as_key("ks_dev_forged"), me, None, 401).await,
            Kind::Verify => {
                self.verify(&self.live, |verdict| matches!(verdict, Verdict::Allowed(_))).await
            }
            Kind::VerifyRevoked => {
                let right = |verdict: &Verdict| matches!(verdict, Verdict::Refused(refused) if refused.reason() == Refusal::Revoked);
                self.verify(&self.revoked, right).await
            }
            Kind::Manage => {
                self.rest(self.next(&self.consoles), "/api/manage/v1/keys", None, 200).await
            }
        }
    }

    async fn run(self: Arc<Self>, kind: Kind) {
        while !self.over.load(Ordering::Relaxed) {
            let answer = self.ask(kind).await;
            {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                let counts = counts.entry(kind).or_default();
                counts.asked += 1;
                match answer {
                    Answer::Right => counts.in_a_row += 1,
                    Answer::Unavailable => {
                        counts.unavailable += 1;
                        counts.in_a_row = 0;
                    }
                    Answer::Wrong(what) => {
                        counts.wrong.push(what);
                        counts.in_a_row = 0;
                    }
                }
            }
            // Bounded: this is no load test.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn counts(&self) -> BTreeMap<Kind, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin_anew(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits, a minute at most, until `enough` of every kind's counts.
    async fn wait(&self, what: &str, enough: impl Fn(&Counts) -> bool) {
        let wait = async {
            loop {
                let counts = self.counts();
                if KINDS.iter().all(|kind| counts.get(kind).is_some_and(&enough)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_mins(1), wait).await.is_ok();
        assert!(in_time, "{what}: {:#?}", self.counts());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_any_part_for_a_while_makes_no_answer_wrong_and_heals_by_itself() {
    let mut cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (_, live) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let (cut, revoked) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let revoke = |id: &str| format!("/api/manage/v1/keys/{id}/revoke");
    let _ = manage.post(&revoke(&cut), &json!({})).await.expect(200);
    let traffic = Arc::new(Traffic {
        gateways: vec![cluster.gateway(), cluster.gateway()],
        consoles: vec![cluster.manage(), cluster.manage()],
        verification: cluster.verification(),
        live,
        revoked,
        turn: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        counts: Mutex::default(),
    });
    let running: Vec<_> =
        KINDS.into_iter().map(|kind| tokio::spawn(Arc::clone(&traffic).run(kind))).collect();
    traffic.wait("before anything is lost", |counts| counts.in_a_row >= HEALED).await;

    for part in cluster.parts() {
        traffic.begin_anew();
        cluster.lose(&part);
        traffic.wait(&format!("without {part}"), |counts| counts.asked >= WHILE_LOST).await;
        cluster.restore(&part).await;
        traffic.wait(&format!("with {part} again"), |counts| counts.in_a_row >= HEALED).await;
        let counts = traffic.counts();
        for (kind, counts) in &counts {
            assert!(counts.wrong.is_empty(), "{kind:?} without {part}: {:?}", counts.wrong);
        }
        let all: Vec<_> =
            counts.iter().map(|(kind, counts)| format!("{kind:?} {counts}")).collect();
        println!("{part}: {}", all.join("; "));

        // And what is cut now is cut.
        let (id, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
        let key = cluster.gateway().with_token(&token);
        let _ = key.get("/api/v1/me").await.expect(200);
        let _ = manage.post(&revoke(&id), &json!({})).await.expect(200);
        for _ in 0..4 {
            let key = cluster.gateway().with_token(&token);
            let _ = key.get("/api/v1/me").await.expect_problem(401, "revoked");
        }
    }
    traffic.over.store(true, Ordering::Relaxed);
    join_all(running).await;
}
