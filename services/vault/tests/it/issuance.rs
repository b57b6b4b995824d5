//! A double of issuance: the log that vault follows, and the way in for its cuts.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use keystile_contract::{
    Failure, Identity, Transport, convert,
    proto::{
        common::v1::{Outcome, Receipt},
        issuance::v1::{
            AuthorizeRequest, AuthorizeResponse, ComponentHolder, LookupRequest, LookupResponse,
            ReleaseComponentsRequest, ReleaseComponentsResponse, SetScopeStatusRequest,
            SetScopeStatusResponse,
            fact_service_server::{FactService, FactServiceServer},
            log_service_server::LogServiceServer,
        },
    },
    transport,
};
use keystile_domain::{ErrorKind, Role};
use keystile_testkit::{LogDouble, MockClock};
use tonic::{Request, Response, Status, async_trait, service::Routes};

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
    /// What can be used again: the scope's id.
    pub(crate) restored: Vec<String>,
    /// The components that keys hold.
    pub(crate) held: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Issuance {
    /// Renewals carry it; nothing is pushed.
    pub(crate) log: LogDouble,
    state: Arc<Mutex<State>>,
}

impl Issuance {
    pub(crate) fn new(clock: MockClock) -> Self {
        let log = LogDouble::new(clock);
        log.state().renew_interval = Duration::from_millis(20);
        log.state().pushes = false;
        let state = State {
            cuts: Cuts::Taken,
            attempts: Vec::new(),
            restored: Vec::new(),
            held: BTreeSet::new(),
        };
        Self { log, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn transport(&self) -> Transport {
        let routes = Routes::new(LogServiceServer::new(self.log.clone()))
            .add_service(FactServiceServer::new(self.clone()))
            .prepare();
        transport::local(routes, Identity::Role(Role::Vault))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
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

    async fn release_components(
        &self,
        request: Request<ReleaseComponentsRequest>,
    ) -> Result<Response<ReleaseComponentsResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        let asked = |id: &String| request.components.is_empty() || request.components.contains(id);
        let held: Vec<String> = state.held.iter().filter(|id| asked(id)).cloned().collect();
        if request.force {
            state.held.retain(|id| !asked(id));
        }
        let holder = ComponentHolder { key_id: "key_1".to_owned(), name: "ci".to_owned() };
        Ok(Response::new(ReleaseComponentsResponse {
            holder_count: u64::from(!held.is_empty()),
            holders: held.first().map(|_| holder).into_iter().collect(),
            outcome: request.force.then(|| Outcome {
                operation_id: "op_00000000000000000000000000".to_owned(),
                receipt: Some(Receipt {
                    seq: 1,
                    elapsed: Some(convert::duration(Duration::from_millis(3))),
                    ..Default::default()
                }),
                pending: state.cuts == Cuts::Pending,
            }),
        }))
    }

    async fn set_scope_status(
        &self,
        request: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        let scope = request.scope.expect("sent").id;
        if request.usable {
            state.restored.push(scope);
            let operation_id = request.operation_id;
            let outcome = Some(Outcome { operation_id, receipt: None, pending: false });
            return Ok(Response::new(SetScopeStatusResponse { outcome }));
        }
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
