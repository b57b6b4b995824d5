//! Triggers through its gRPC face, with a double of issuance's log and SQLite in a file.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Identity, SealKeys, convert,
    proto::{
        common::v1::LogRow as LogRowMessage,
        issuance::v1::{
            LeaseTerms, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse,
            WatchRequest, WatchResponse,
            log_service_server::{LogService, LogServiceServer},
        },
        triggers::v1::{
            GetStatusRequest, GetStatusResponse, trigger_service_client::TriggerServiceClient,
        },
    },
    transport,
};
use keystile_domain::{
    KeyId, OperationId, Position, Role, Scope,
    log::{ChangeKind, History, LogRow, Nonce},
};
use keystile_sql::{Database, Pool};
use keystile_testkit::{MockClock, SeededEntropy};
use keystile_triggers::{Config, Deps, Service};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, async_trait};

#[derive(Debug)]
struct State {
    history: History,
    floor: u64,
    head: u64,
    resumed_from: Vec<Option<u64>>,
    /// Rows that were asked for by seq, to see that none is sent twice.
    sent: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Issuance(Arc<Mutex<State>>);

fn history(id: u8) -> History {
    History { database: [id; 16], timeline: 0 }
}

fn nonce(seq: u64) -> Nonce {
    Nonce(u128::from(seq).to_be_bytes())
}

impl Issuance {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }
}

impl State {
    fn head(&self) -> Position {
        Position { history: self.history, seq: self.head }
    }

    /// The rows after `seq`, each of a key of its own.
    fn after(&mut self, seq: u64) -> Vec<LogRowMessage> {
        let seqs = seq + 1..=self.head;
        self.sent.extend(seqs.clone());
        let row = |seq: u64| LogRow {
            seq,
            nonce: nonce(seq),
            previous: nonce(seq - 1),
            scope: Scope::Key(KeyId::from_uuid(uuid::Uuid::from_u128(seq.into()))),
            kind: ChangeKind::KeyRevoked,
            cut: true,
            operation: OperationId::from_uuid(uuid::Uuid::from_u128(1)),
        };
        seqs.map(|seq| convert::log_row(&row(seq))).collect()
    }
}

#[async_trait]
impl LogService for Issuance {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let mut state = self.state();
        let point = request.into_inner().resume_from;
        state.resumed_from.push(point.as_ref().map(|point| point.seq));
        let own = state.history.to_string();
        let point = point.filter(|point| point.history == own && point.seq >= state.floor);
        let begin = point.as_ref().map_or(state.floor, |point| point.seq);
        Ok(Response::new(RegisterResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head).0.to_vec(),
            floor: state.floor,
            rows: state.after(begin),
            resumed: point.is_some(),
            terms: Some(LeaseTerms {
                lease_ttl: Some(convert::duration(Duration::from_secs(2))),
                renew_interval: Some(convert::duration(Duration::from_millis(20))),
                drift_ppm: 10_000,
                margin: Some(convert::duration(Duration::from_millis(100))),
            }),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let applied = request.into_inner().applied.expect("sent").seq;
        let mut state = self.state();
        Ok(Response::new(RenewResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head).0.to_vec(),
            rows: state.after(applied),
        }))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    /// Nothing is ever pushed: renewals carry the log.
    async fn watch(
        &self,
        _request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(futures::stream::pending().boxed()))
    }
}

struct World {
    issuance: Issuance,
    entropy: Arc<SeededEntropy>,
    folder: TempDir,
}

struct Running {
    service: Service,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let state = State {
            history: history(1),
            floor: 0,
            head: 0,
            resumed_from: Vec::new(),
            sent: Vec::new(),
        };
        Self {
            issuance: Issuance(Arc::new(Mutex::new(state))),
            entropy: Arc::new(SeededEntropy::new(1)),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    async fn start(&self) -> Running {
        let url = format!("sqlite://{}/triggers.db", self.folder.path().display());
        let server = LogServiceServer::new(self.issuance.clone());
        let deps = Deps {
            clock: Arc::new(MockClock::default()),
            entropy: self.entropy.clone(),
            seal_keys: SealKeys::derive(Role::Triggers, &[(1, [7; 32])]),
            vault: transport::deferred().0,
            issuance: transport::local(server, Identity::Role(Role::Triggers)),
            database: Database::connect(&url.into(), Pool::default()).await.expect("connects"),
        };
        let service = keystile_triggers::build(Config::default(), deps).await.expect("builds");
        assert!(service.ready().is_err());
        let stop = CancellationToken::new();
        let (running, token) = (service.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(token).await });
        Running { service, stop, task }
    }
}

impl Running {
    async fn status(&self) -> GetStatusResponse {
        let routes = self.service.grpc().prepare();
        let transport = transport::local(routes, Identity::Role(Role::Gateway));
        let answer = TriggerServiceClient::new(transport).get_status(GetStatusRequest {}).await;
        answer.expect("answers").into_inner()
    }

    /// Waits until the log is stored up to there, ten seconds at most.
    async fn reaches(&self, seq: u64) -> GetStatusResponse {
        let wait = async {
            loop {
                let status = self.status().await;
                if status.lease_current
                    && status.applied.as_ref().is_some_and(|applied| applied.seq == seq)
                {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("is applied")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("ends");
    }
}

#[tokio::test]
async fn a_restart_resumes_from_what_was_stored() {
    let world = World::new();
    world.issuance.state().head = 3;
    let running = world.start().await;
    assert_eq!(running.reaches(3).await.tombstones, 3);
    assert!(running.service.ready().is_ok());
    world.issuance.state().head = 5;
    running.reaches(5).await;
    running.stop().await;

    world.issuance.state().head = 6;
    let running = world.start().await;
    // The five from before the restart, and the one from while it was down.
    assert_eq!(running.reaches(6).await.tombstones, 6);
    running.stop().await;
    let state = world.issuance.state();
    assert_eq!(state.resumed_from, [None, Some(5)]);
    assert_eq!(state.sent, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_log_that_no_longer_reaches_back_starts_over() {
    let world = World::new();
    world.issuance.state().head = 3;
    let running = world.start().await;
    running.reaches(3).await;
    running.stop().await;
    {
        let mut state = world.issuance.state();
        (state.floor, state.head) = (7, 9);
    }
    let running = world.start().await;
    assert_eq!(running.reaches(9).await.tombstones, 2);
    running.stop().await;
}

#[tokio::test]
async fn another_history_starts_over() {
    let world = World::new();
    world.issuance.state().head = 3;
    let running = world.start().await;
    running.reaches(3).await;
    running.stop().await;
    {
        let mut state = world.issuance.state();
        (state.history, state.head) = (history(2), 1);
    }
    let running = world.start().await;
    let status = running.reaches(1).await;
    assert_eq!(status.tombstones, 1);
    assert_eq!(status.applied.expect("applied").history, history(2).to_string());
    running.stop().await;
}
