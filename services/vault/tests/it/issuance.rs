//! A double of issuance: the log that vault follows, and the way in for its cuts.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Failure, Identity, Transport, convert,
    proto::{
        common::v1::{Outcome, Receipt},
        issuance::v1::{
            AuthorizeRequest, AuthorizeResponse, LeaseTerms, LookupRequest, LookupResponse,
            RegisterRequest, RegisterResponse, RenewRequest, RenewResponse, SetScopeStatusRequest,
            SetScopeStatusResponse, WatchRequest, WatchResponse,
            fact_service_server::{FactService, FactServiceServer},
            log_service_server::{LogService, LogServiceServer},
        },
    },
    transport,
};
use keystile_domain::{
    ErrorKind, OperationId, Position, Role, Scope,
    log::{ChangeKind, History, LogRow, Nonce},
};
use tonic::{Request, Response, Status, Streaming, async_trait, service::Routes};
use uuid::Uuid;

pub(crate) const HISTORY: History = History { database: [1; 16], timeline: 0 };

/// How a cut is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cuts {
    /// With a receipt.
    Taken,
    /// Not at all: issuance is down.
    Refused,
    /// Committed, but the barrier is not over.
    Pending,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) cuts: Cuts,
    /// Every attempt: the scope's id and the operation.
    pub(crate) attempts: Vec<(String, String)>,
    log: Vec<LogRow>,
}

#[derive(Debug, Clone)]
pub(crate) struct Issuance(Arc<Mutex<State>>);

fn nonce(seq: u64) -> Nonce {
    Nonce(u128::from(seq).to_be_bytes())
}

impl Issuance {
    pub(crate) fn new() -> Self {
        let state = State { cuts: Cuts::Taken, attempts: Vec::new(), log: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn transport(&self) -> Transport {
        let routes = Routes::new(LogServiceServer::new(self.clone()))
            .add_service(FactServiceServer::new(self.clone()))
            .prepare();
        transport::local(routes, Identity::Role(Role::Vault))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    /// Commits the next row of the log; the next renewal carries it.
    pub(crate) fn commit(&self, scope: Scope) -> Position {
        let mut state = self.state();
        let seq = state.log.len() as u64 + 1;
        state.log.push(LogRow {
            seq,
            nonce: nonce(seq),
            previous: nonce(seq - 1),
            scope,
            kind: ChangeKind::KeyRevoked,
            cut: true,
            operation: OperationId::from_uuid(Uuid::from_u128(1)),
        });
        state.head()
    }

    pub(crate) fn head(&self) -> Position {
        self.state().head()
    }
}

impl State {
    fn head(&self) -> Position {
        Position { history: HISTORY, seq: self.log.len() as u64 }
    }

    fn after(&self, seq: u64) -> Vec<keystile_contract::proto::common::v1::LogRow> {
        self.log.iter().filter(|row| row.seq > seq).map(convert::log_row).collect()
    }
}

#[async_trait]
impl LogService for Issuance {
    async fn register(
        &self,
        _request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let state = self.state();
        Ok(Response::new(RegisterResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
            floor: 0,
            rows: state.after(0),
            resumed: false,
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
        let state = self.state();
        Ok(Response::new(RenewResponse {
            head: Some(convert::position(&state.head())),
            head_nonce: nonce(state.head().seq).0.to_vec(),
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

#[async_trait]
impl FactService for Issuance {
    async fn lookup(
        &self,
        _request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        Err(Status::unimplemented("vault looks nothing up"))
    }

    async fn authorize(
        &self,
        _request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        Err(Status::unimplemented("vault authorizes nothing"))
    }

    async fn set_scope_status(
        &self,
        request: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        let request = request.into_inner();
        assert!(!request.usable);
        let mut state = self.state();
        let scope = request.scope.expect("sent").id;
        state.attempts.push((scope, request.operation_id.clone()));
        let receipt = Receipt {
            seq: state.attempts.len() as u64,
            acknowledged: 1,
            waited_out: 0,
            elapsed: Some(convert::duration(Duration::from_millis(3))),
        };
        let outcome = match state.cuts {
            Cuts::Taken => Outcome {
                operation_id: request.operation_id,
                receipt: Some(receipt),
                pending: false,
            },
            Cuts::Pending => {
                Outcome { operation_id: request.operation_id, receipt: None, pending: true }
            }
            Cuts::Refused => {
                return Err(Failure::new(ErrorKind::Unavailable, "unavailable", "down").into());
            }
        };
        Ok(Response::new(SetScopeStatusResponse { outcome: Some(outcome) }))
    }
}
