//! A double of vault: connections and integrations in memory, every call checked for its sealed
//! actor.

mod integrations;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile_contract::{
    Failure, SealKeys, actor, convert,
    proto::{
        common::v1::{AuditEntry, Outcome, Receipt},
        vault::v1::{connection_service_server::ConnectionService, *},
    },
};
use keystile_domain::{
    Actor, AuditId, Clock as _, ConnectionId, ErrorKind, OperationId, Permission,
};
use keystile_testkit::{MockClock, SeededEntropy};
use tonic::{Request, Response, Status};

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) connections: Vec<(Actor, Connection)>,
    pub(crate) integrations: Vec<(Actor, Integration)>,
    /// Client secrets, as they came.
    pub(crate) secrets: Vec<String>,
    pub(crate) credentials: Vec<StaticCredential>,
    pub(crate) started: Vec<StartConnectRequest>,
    pub(crate) matched: Vec<MatchConnectionsRequest>,
    /// How many connections each batch asked for.
    pub(crate) batches: Vec<usize>,
    /// What is in the way of every connection.
    pub(crate) problems: Vec<GrantProblem>,
    /// Every call is answered so.
    pub(crate) refusal: Option<Failure>,
    /// Changes are answered as pending.
    pub(crate) pending: bool,
    audit: Vec<AuditEntry>,
}

#[derive(Clone)]
pub(crate) struct Vault {
    rows: Arc<Mutex<Rows>>,
    seal_keys: SealKeys,
    clock: MockClock,
    entropy: Arc<SeededEntropy>,
}

impl Vault {
    pub(crate) fn new(seal_keys: SealKeys, clock: MockClock) -> Self {
        Self { rows: Arc::default(), seal_keys, clock, entropy: Arc::new(SeededEntropy::new(78)) }
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn audited(&self, action: &str) -> String {
        self.clock.advance(std::time::Duration::from_millis(1));
        let id = AuditId::generate(self.clock.now(), &*self.entropy).to_string();
        self.rows().audit.push(AuditEntry {
            id: id.clone(),
            at: Some(convert::timestamp(self.clock.now())),
            action: action.to_owned(),
            ..AuditEntry::default()
        });
        id
    }

    fn actor<M>(&self, request: &Request<M>) -> Result<Actor, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"), "every call has a deadline");
        let actor = actor::of_request(request.metadata(), &self.seal_keys, self.clock.now())?;
        match &self.rows().refusal {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(actor),
        }
    }

    fn outcome(&self) -> Outcome {
        let pending = self.rows().pending;
        let receipt = Receipt { seq: 7, acknowledged: 3, waited_out: 0, elapsed: None };
        Outcome {
            operation_id: OperationId::generate(self.clock.now(), &*self.entropy).to_string(),
            receipt: (!pending).then_some(receipt),
            pending,
        }
    }

    fn find<M>(&self, request: &Request<M>, id: &str) -> Result<Connection, Status> {
        let actor = self.actor(request)?;
        let rows = self.rows();
        let found =
            rows.connections.iter().find(|(owner, row)| owner.team == actor.team && row.id == id);
        let missing = Failure::new(ErrorKind::NotFound, "connection_not_found", "none such");
        found.map(|(_, row)| row.clone()).ok_or_else(|| missing.into())
    }
}

#[tonic::async_trait]
impl ConnectionService for Vault {
    async fn create_connection(
        &self,
        request: Request<CreateConnectionRequest>,
    ) -> Result<Response<CreateConnectionResponse>, Status> {
        let actor = self.actor(&request)?;
        actor.require(Permission::ConnectionsWrite).map_err(Failure::from)?;
        let message = request.into_inner();
        let credential = message.credential.expect("a credential");
        assert!(credential.kind.is_some());
        self.rows().credentials.push(credential);
        let connection = Connection {
            id: ConnectionId::generate(self.clock.now(), &*self.entropy).to_string(),
            app_key: message.app_key,
            name: message.name,
            status: ConnectionStatus::Active.into(),
            auth_scheme: "bearer".to_owned(),
            created_at: Some(convert::timestamp(self.clock.now())),
            ..Connection::default()
        };
        self.rows().connections.push((actor, connection.clone()));
        Ok(Response::new(CreateConnectionResponse { connection: Some(connection) }))
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let actor = self.actor(&request)?;
        let rows = self.rows();
        let own = rows.connections.iter().filter(|(owner, _)| owner.team == actor.team);
        let connections = own.map(|(_, row)| row.clone()).collect();
        Ok(Response::new(ListConnectionsResponse { connections, next_page_token: String::new() }))
    }

    async fn get_connection(
        &self,
        request: Request<GetConnectionRequest>,
    ) -> Result<Response<GetConnectionResponse>, Status> {
        let connection = Some(self.find(&request, &request.get_ref().connection_id)?);
        Ok(Response::new(GetConnectionResponse { connection }))
    }

    async fn batch_get_connections(
        &self,
        request: Request<BatchGetConnectionsRequest>,
    ) -> Result<Response<BatchGetConnectionsResponse>, Status> {
        self.actor(&request)?;
        let ids = &request.get_ref().connection_ids;
        assert!(ids.len() <= 200, "vault takes no more");
        self.rows().batches.push(ids.len());
        let found = ids.iter().filter_map(|id| self.find(&request, id).ok());
        Ok(Response::new(BatchGetConnectionsResponse { connections: found.collect() }))
    }

    async fn match_connections(
        &self,
        request: Request<MatchConnectionsRequest>,
    ) -> Result<Response<MatchConnectionsResponse>, Status> {
        let actor = self.actor(&request)?;
        let mut rows = self.rows();
        let own = rows.connections.iter().filter(|(owner, _)| owner.team == actor.team);
        let matches = own.map(|(_, row)| ConnectionMatch {
            connection: Some(row.clone()),
            problems: rows.problems.clone(),
        });
        let matches = matches.collect();
        rows.matched.push(request.into_inner());
        Ok(Response::new(MatchConnectionsResponse { matches, next_page_token: String::new() }))
    }

    async fn test_connection(
        &self,
        request: Request<TestConnectionRequest>,
    ) -> Result<Response<TestConnectionResponse>, Status> {
        let connection = Some(self.find(&request, &request.get_ref().connection_id)?);
        let detail = "it works".to_owned();
        Ok(Response::new(TestConnectionResponse { connection, ok: true, detail }))
    }

    async fn delete_connection(
        &self,
        request: Request<DeleteConnectionRequest>,
    ) -> Result<Response<DeleteConnectionResponse>, Status> {
        let id = self.find(&request, &request.get_ref().connection_id)?.id;
        self.rows().connections.retain(|(_, row)| row.id != id);
        Ok(Response::new(DeleteConnectionResponse { outcome: Some(self.outcome()) }))
    }

    async fn check_grant(
        &self,
        _: Request<CheckGrantRequest>,
    ) -> Result<Response<CheckGrantResponse>, Status> {
        Err(Status::permission_denied("issuance alone may ask"))
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let actor = self.actor(&request)?;
        actor.require(Permission::AuditExport).map_err(Failure::from)?;
        let message = request.get_ref();
        let mut entries = self.rows().audit.clone();
        entries.reverse();
        let (entries, next_page_token) =
            crate::audit::page(entries, message.page_size, &message.page_token);
        Ok(Response::new(ListAuditResponse { entries, next_page_token }))
    }
}
