//! A double of issuance's `LogService` that a test steers.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Failure, Identity, Transport, convert,
    proto::issuance::v1::{
        LeaseTerms, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse, WatchRequest,
        WatchResponse,
        log_service_server::{LogService, LogServiceServer},
    },
    transport,
};
use keystile_domain::{
    ErrorKind, KeyId, OperationId, Position, Role, Scope,
    log::{ChangeKind, History, LogRow, Nonce},
};
use keystile_testkit::MockClock;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, async_trait};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How renewals are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewals {
    Answered,
    /// The answer takes this long on the follower's clock; the ones after it are lost.
    AnsweredOnceAfter(Duration),
    Lost,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) history: History,
    pub(crate) floor: u64,
    pub(crate) log: Vec<LogRow>,
    pub(crate) registered: Vec<String>,
    pub(crate) resume_from: Option<u64>,
    pub(crate) renewals: Renewals,
    pub(crate) pushes: bool,
    pub(crate) acknowledged: Vec<u64>,
    watchers: Vec<mpsc::UnboundedSender<Result<WatchResponse, Status>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Issuance {
    state: Arc<Mutex<State>>,
    clock: MockClock,
}

pub(crate) fn history(id: u8) -> History {
    History { database: [id; 16], timeline: 0 }
}

pub(crate) fn key(id: u128) -> Scope {
    Scope::Key(KeyId::from_uuid(Uuid::from_u128(id)))
}

/// The mark that row `seq` has; 0 has one as well.
pub(crate) fn nonce(seq: u64) -> Nonce {
    Nonce(u128::from(seq).to_be_bytes())
}

pub(crate) fn row(seq: u64, scope: Scope) -> LogRow {
    LogRow {
        seq,
        nonce: nonce(seq),
        previous: nonce(seq - 1),
        scope,
        kind: ChangeKind::KeyRevoked,
        cut: true,
        operation: OperationId::from_uuid(Uuid::from_u128(1)),
    }
}

impl Issuance {
    pub(crate) fn new(clock: MockClock) -> Self {
        let state = State {
            history: history(1),
            floor: 0,
            log: Vec::new(),
            registered: Vec::new(),
            resume_from: None,
            renewals: Renewals::Answered,
            pushes: true,
            acknowledged: Vec::new(),
            watchers: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    pub(crate) fn transport(&self) -> Transport {
        transport::local(LogServiceServer::new(self.clone()), Identity::Role(Role::Verification))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Commits the next row, and pushes it where pushes are on.
    pub(crate) fn commit(&self, scope: Scope) -> u64 {
        let mut state = self.state();
        let row = row(state.log.len() as u64 + 1, scope);
        state.log.push(row);
        if state.pushes {
            state.push(&row);
        }
        row.seq
    }
}

impl State {
    /// Pushes a row, in the log or not.
    pub(crate) fn push(&mut self, row: &LogRow) {
        let message =
            WatchResponse { history: self.history.to_string(), rows: vec![convert::log_row(row)] };
        self.watchers.retain(|watcher| watcher.send(Ok(message.clone())).is_ok());
    }

    /// Ends every open stream.
    pub(crate) fn hang_up(&mut self) {
        self.watchers.clear();
    }

    fn head(&self) -> Position {
        Position { history: self.history, seq: self.log.len() as u64 }
    }

    fn after(&self, seq: u64) -> Vec<LogRow> {
        self.log.iter().filter(|row| row.seq > seq).copied().collect()
    }

    fn check(&self, incarnation: &str) -> Result<(), Status> {
        if self.registered.last().is_some_and(|last| last == incarnation) {
            return Ok(());
        }
        let message = "register first";
        Err(Failure::new(ErrorKind::Stale, "unknown_incarnation", message).into())
    }
}

fn terms() -> LeaseTerms {
    LeaseTerms {
        lease_ttl: Some(convert::duration(LEASE)),
        renew_interval: Some(convert::duration(LEASE / 4)),
        drift_ppm: 10_000,
        margin: Some(convert::duration(Duration::from_millis(100))),
    }
}

#[async_trait]
impl LogService for Issuance {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.registered.push(request.incarnation);
        let resume_from = request.resume_from.map(|point| point.seq);
        state.resume_from = resume_from;
        let resumed = resume_from.is_some_and(|seq| seq >= state.floor);
        let begin = resume_from.filter(|_| resumed).unwrap_or(state.floor);
        Ok(Response::new(RegisterResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
            floor: state.floor,
            rows: state.after(begin).iter().map(convert::log_row).collect(),
            resumed,
            terms: Some(terms()),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        let renewals = self.state().renewals;
        match renewals {
            Renewals::Answered => {}
            Renewals::AnsweredOnceAfter(delay) => {
                self.clock.advance(delay);
                self.state().renewals = Renewals::Lost;
            }
            Renewals::Lost => std::future::pending().await,
        }
        let state = self.state();
        state.check(&request.incarnation)?;
        let applied = request.applied.expect("sent").seq;
        assert_eq!(request.applied_nonce, nonce(applied).0);
        Ok(Response::new(RenewResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
            rows: state.after(applied).iter().map(convert::log_row).collect(),
        }))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut up = request.into_inner();
        let opening = up.next().await.expect("an opening")?;
        let (down, rows) = mpsc::unbounded_channel();
        {
            let mut state = self.state();
            state.check(&opening.incarnation)?;
            state.watchers.push(down);
            if state.pushes {
                for row in state.after(opening.applied.expect("sent").seq) {
                    state.push(&row);
                }
            }
        }
        let issuance = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = up.next().await {
                let applied = message.applied.expect("sent").seq;
                issuance.state().acknowledged.push(applied);
            }
        });
        Ok(Response::new(tokio_stream::wrappers::UnboundedReceiverStream::new(rows).boxed()))
    }
}
