//! A double of vault: one list of connections, every call checked for its sealed actor.

use std::sync::{Arc, Mutex, PoisonError};

use keystile_contract::{
    Failure, SealKeys, actor, convert,
    proto::{
        common::v1::AuditEntry,
        vault::v1::{connection_service_server::ConnectionService, *},
    },
};
use keystile_domain::{Actor, AuditId, Clock as _, ConnectionId, ErrorKind, Permission};
use keystile_testkit::{MockClock, SeededEntropy};
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub(crate) struct Vault {
    connections: Arc<Mutex<Vec<(Actor, Connection)>>>,
    audit: Arc<Mutex<Vec<AuditEntry>>>,
    seal_keys: SealKeys,
    clock: MockClock,
    entropy: Arc<SeededEntropy>,
}

impl Vault {
    pub(crate) fn new(seal_keys: SealKeys, clock: MockClock) -> Self {
        Self {
            connections: Arc::default(),
            audit: Arc::default(),
            seal_keys,
            clock,
            entropy: Arc::new(SeededEntropy::new(78)),
        }
    }

    pub(crate) fn audited(&self, action: &str) -> String {
        self.clock.advance(std::time::Duration::from_millis(1));
        let id = AuditId::generate(self.clock.now(), &*self.entropy).to_string();
        self.audit.lock().unwrap_or_else(PoisonError::into_inner).push(AuditEntry {
            id: id.clone(),
            at: Some(convert::timestamp(self.clock.now())),
            action: action.to_owned(),
            ..AuditEntry::default()
        });
        id
    }

    fn actor<M>(&self, request: &Request<M>) -> Result<Actor, Status> {
        Ok(actor::of_request(request.metadata(), &self.seal_keys, self.clock.now())?)
    }

    fn find<M>(&self, request: &Request<M>, id: &str) -> Result<Connection, Status> {
        let actor = self.actor(request)?;
        let rows = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let found = rows.iter().find(|(owner, row)| owner.team == actor.team && row.id == id);
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
        assert!(message.credential.is_some_and(|credential| credential.kind.is_some()));
        let connection = Connection {
            id: ConnectionId::generate(self.clock.now(), &*self.entropy).to_string(),
            app_key: message.app_key,
            name: message.name,
            status: ConnectionStatus::Active.into(),
            auth_scheme: "bearer".to_owned(),
            created_at: Some(convert::timestamp(self.clock.now())),
            ..Connection::default()
        };
        let mut rows = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push((actor, connection.clone()));
        Ok(Response::new(CreateConnectionResponse { connection: Some(connection) }))
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let actor = self.actor(&request)?;
        let rows = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let own = rows.iter().filter(|(owner, _)| owner.team == actor.team);
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
        let ids = &request.get_ref().connection_ids;
        let found = ids.iter().filter_map(|id| self.find(&request, id).ok());
        Ok(Response::new(BatchGetConnectionsResponse { connections: found.collect() }))
    }

    async fn match_connections(
        &self,
        _: Request<MatchConnectionsRequest>,
    ) -> Result<Response<MatchConnectionsResponse>, Status> {
        Err(Status::unimplemented("nobody asks this double"))
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
        self.find(&request, &request.get_ref().connection_id)?;
        Ok(Response::new(DeleteConnectionResponse { outcome: None }))
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
        let mut entries = self.audit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.reverse();
        let (entries, next_page_token) =
            crate::audit::page(entries, message.page_size, &message.page_token);
        Ok(Response::new(ListAuditResponse { entries, next_page_token }))
    }
}
