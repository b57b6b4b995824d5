//! A double of issuance's log that a test steers, for whatever follows it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Failure, convert,
    proto::{
        common::v1::LogRow as LogRowMessage,
        issuance::v1::{
            LeaseTerms, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse,
            WatchRequest, WatchResponse, log_service_server::LogService,
        },
    },
};
use keystile_domain::{
    ErrorKind, OperationId, Position, Scope,
    log::{ChangeKind, History, LogRow, Nonce},
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, async_trait};
use uuid::Uuid;

use crate::MockClock;

/// How long the double's leases are.
pub const LEASE: Duration = Duration::from_secs(2);

/// How renewals are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewals {
    /// At once.
    Answered,
    /// The answer takes this long on the follower's clock; the ones after it are lost.
    AnsweredOnceAfter(Duration),
    /// Never.
    Lost,
}

/// What the double says, and what it was told.
#[derive(Debug)]
pub struct LogState {
    /// The history that the log is of.
    pub history: History,
    /// Registrations begin behind this row.
    pub floor: u64,
    /// The rows, without a gap from 1.
    pub rows: Vec<LogRow>,
    /// How often followers are told to renew.
    pub renew_interval: Duration,
    /// How renewals are answered.
    pub renewals: Renewals,
    /// Are rows pushed when they are committed? Renewals carry them in any case.
    pub pushes: bool,
    /// The incarnations that registered; the last one is known.
    pub registered: Vec<String>,
    /// Are those before it known as well?
    pub several: bool,
    /// From where each registration asked to resume.
    pub resumed_from: Vec<Option<u64>>,
    /// The row of every acknowledgement.
    pub acknowledged: Vec<u64>,
    /// The rows that registrations and renewals were answered with.
    pub sent: Vec<u64>,
    watchers: Vec<mpsc::UnboundedSender<Result<WatchResponse, Status>>>,
}

/// The log of an issuance that is not there. Clones share it.
#[derive(Debug, Clone)]
pub struct LogDouble {
    state: Arc<Mutex<LogState>>,
    clock: MockClock,
}

/// A history that differs from any other `id`'s.
pub fn history(id: u8) -> History {
    History { database: [id; 16], timeline: 0 }
}

/// The mark that row `seq` has; 0 has one as well.
pub fn nonce(seq: u64) -> Nonce {
    Nonce(u128::from(seq).to_be_bytes())
}

/// The row that [`LogDouble::commit`] makes of `scope` as number `seq`.
pub fn row(seq: u64, scope: Scope) -> LogRow {
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

impl LogDouble {
    /// An empty log; `clock` is the follower's.
    pub fn new(clock: MockClock) -> Self {
        let state = LogState {
            history: history(1),
            floor: 0,
            rows: Vec::new(),
            renew_interval: LEASE / 4,
            renewals: Renewals::Answered,
            pushes: true,
            registered: Vec::new(),
            several: false,
            resumed_from: Vec::new(),
            acknowledged: Vec::new(),
            sent: Vec::new(),
            watchers: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), clock }
    }

    /// What is said and was told, to read and to change.
    pub fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits the next row, and pushes it where pushes are on.
    pub fn commit(&self, scope: Scope) -> Position {
        self.commit_as(scope, ChangeKind::KeyRevoked)
    }

    /// The same, of another kind.
    pub fn commit_as(&self, scope: Scope, kind: ChangeKind) -> Position {
        let mut state = self.state();
        let row = LogRow { kind, ..row(state.head().seq + 1, scope) };
        state.rows.push(row);
        if state.pushes {
            state.push(&row);
        }
        state.head()
    }

    /// Where the log ends.
    pub fn head(&self) -> Position {
        self.state().head()
    }
}

impl LogState {
    /// Pushes a row, in the log or not.
    pub fn push(&mut self, row: &LogRow) {
        let message =
            WatchResponse { history: self.history.to_string(), rows: vec![convert::log_row(row)] };
        self.watchers.retain(|watcher| watcher.send(Ok(message.clone())).is_ok());
    }

    /// Ends every open stream.
    pub fn hang_up(&mut self) {
        self.watchers.clear();
    }

    /// Where the log ends.
    pub fn head(&self) -> Position {
        Position { history: self.history, seq: self.rows.len() as u64 }
    }

    fn after(&self, seq: u64) -> Vec<LogRow> {
        self.rows.iter().filter(|row| row.seq > seq).copied().collect()
    }

    fn answer(&mut self, after: u64) -> Vec<LogRowMessage> {
        let rows = self.after(after);
        self.sent.extend(rows.iter().map(|row| row.seq));
        rows.iter().map(convert::log_row).collect()
    }

    fn check(&self, incarnation: &str) -> Result<(), Status> {
        let known = if self.several { 0 } else { self.registered.len().saturating_sub(1) };
        if self.registered[known..].iter().any(|known| known == incarnation) {
            return Ok(());
        }
        let message = "register first";
        Err(Failure::new(ErrorKind::Stale, "unknown_incarnation", message).into())
    }
}

#[async_trait]
impl LogService for LogDouble {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.registered.push(request.incarnation);
        let point = request.resume_from;
        state.resumed_from.push(point.as_ref().map(|point| point.seq));
        let own = state.history.to_string();
        let known = |seq: u64| nonce(seq).0 == *request.resume_nonce;
        let point = point
            .filter(|point| point.history == own && point.seq >= state.floor && known(point.seq));
        let begin = point.as_ref().map_or(state.floor, |point| point.seq);
        Ok(Response::new(RegisterResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
            floor: state.floor,
            rows: state.answer(begin),
            resumed: point.is_some(),
            terms: Some(LeaseTerms {
                lease_ttl: Some(convert::duration(LEASE)),
                renew_interval: Some(convert::duration(state.renew_interval)),
            }),
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
        let mut state = self.state();
        state.check(&request.incarnation)?;
        let applied = request.applied.ok_or_else(|| Status::invalid_argument("applied"))?.seq;
        if request.applied_nonce != nonce(applied).0 {
            return Err(Status::invalid_argument("applied_nonce"));
        }
        state.acknowledged.push(applied);
        Ok(Response::new(RenewResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
            rows: state.answer(applied),
        }))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut up = request.into_inner();
        let missing = || Status::invalid_argument("applied");
        let opening = up.next().await.ok_or_else(missing)??;
        let applied = opening.applied.ok_or_else(missing)?.seq;
        let (down, rows) = mpsc::unbounded_channel();
        {
            let mut state = self.state();
            state.check(&opening.incarnation)?;
            state.watchers.push(down);
            if state.pushes {
                for row in state.after(applied) {
                    state.push(&row);
                }
            }
        }
        let log = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = up.next().await {
                log.state().acknowledged.extend(message.applied.map(|applied| applied.seq));
            }
        });
        Ok(Response::new(tokio_stream::wrappers::UnboundedReceiverStream::new(rows).boxed()))
    }
}
