//! Connections of teams.

use keystile_contract::{
    convert::{parse, parse_optional},
    deadline,
    proto::{
        common::v1::Outcome,
        vault::v1::{
            CheckGrantRequest, CheckGrantResponse, CreateConnectionRequest,
            CreateConnectionResponse, DeleteConnectionRequest, DeleteConnectionResponse,
            GetConnectionRequest, GetConnectionResponse, ListAuditRequest, ListAuditResponse,
            ListConnectionsRequest, ListConnectionsResponse, TestConnectionRequest,
            TestConnectionResponse, connection_service_server::ConnectionService,
        },
    },
};
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use super::{Connections, actor_of, convert, refuse};
use crate::store::{AuditPage, ConnectionPage};

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl ConnectionService for Connections {
    #[instrument(name = "vault.create_connection", skip_all)]
    async fn create_connection(
        &self,
        request: Request<CreateConnectionRequest>,
    ) -> Answer<CreateConnectionResponse> {
        let actor = actor_of(&self.0, &request)?;
        let create = convert::create(request.into_inner())?;
        let connection = self.0.create(&actor, create).await.map_err(refuse)?;
        let connection = Some(convert::connection(&connection));
        Ok(Response::new(CreateConnectionResponse { connection }))
    }

    #[instrument(name = "vault.list_connections", skip_all)]
    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Answer<ListConnectionsResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let page = ConnectionPage {
            app: parse_optional("app_key", &request.app_key)?,
            before: parse_optional("page_token", &request.page_token)?,
            limit: convert::page_size(request.page_size)?,
        };
        let page = self.0.list(&actor, page).await.map_err(refuse)?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Response::new(ListConnectionsResponse {
            next_page_token: last.map(|last| last.id.to_string()).unwrap_or_default(),
            connections: page.items.iter().map(convert::connection).collect(),
        }))
    }

    #[instrument(name = "vault.get_connection", skip_all)]
    async fn get_connection(
        &self,
        request: Request<GetConnectionRequest>,
    ) -> Answer<GetConnectionResponse> {
        let actor = actor_of(&self.0, &request)?;
        let id = parse("connection_id", &request.get_ref().connection_id)?;
        let connection = self.0.get(&actor, id).await.map_err(refuse)?;
        let connection = Some(convert::connection(&connection));
        Ok(Response::new(GetConnectionResponse { connection }))
    }

    #[instrument(name = "vault.test_connection", skip_all)]
    async fn test_connection(
        &self,
        request: Request<TestConnectionRequest>,
    ) -> Answer<TestConnectionResponse> {
        let actor = actor_of(&self.0, &request)?;
        let id = parse("connection_id", &request.get_ref().connection_id)?;
        let tested = self.0.test(&actor, id).await.map_err(refuse)?;
        Ok(Response::new(TestConnectionResponse {
            connection: Some(convert::connection(&tested.connection)),
            ok: tested.ok,
            detail: tested.detail,
        }))
    }

    #[instrument(name = "vault.delete_connection", skip_all)]
    async fn delete_connection(
        &self,
        request: Request<DeleteConnectionRequest>,
    ) -> Answer<DeleteConnectionResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let id = parse("connection_id", &request.get_ref().connection_id)?;
        let deleted = self.0.delete(&actor, id, wait).await.map_err(refuse)?;
        let outcome = Outcome {
            operation_id: deleted.operation.to_string(),
            receipt: deleted.receipt.as_ref().map(keystile_contract::convert::receipt),
            pending: deleted.receipt.is_none(),
        };
        Ok(Response::new(DeleteConnectionResponse { outcome: Some(outcome) }))
    }

    #[instrument(name = "vault.check_grant", skip_all)]
    async fn check_grant(&self, request: Request<CheckGrantRequest>) -> Answer<CheckGrantResponse> {
        let request = request.into_inner();
        let team = parse("team_id", &request.team_id)?;
        let app = parse("app_key", &request.app_key)?;
        let connection = parse_optional("connection_id", &request.connection_id)?;
        let components = convert::components(&request.components)?;
        let problems =
            self.0.check_grant(team, &app, connection, &components).await.map_err(refuse)?;
        Ok(Response::new(CheckGrantResponse {
            problems: problems.iter().map(convert::problem).collect(),
            integration_id: String::new(),
        }))
    }

    #[instrument(name = "vault.list_audit", skip_all)]
    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Answer<ListAuditResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let page = AuditPage {
            subject: convert::subject(request.subject_id)?,
            before: parse_optional("page_token", &request.page_token)?,
            limit: convert::page_size(request.page_size)?,
        };
        let page = self.0.trail(&actor, page).await.map_err(refuse)?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Response::new(ListAuditResponse {
            next_page_token: last.map(|(last, _)| last.id.to_string()).unwrap_or_default(),
            entries: page.items.into_iter().map(convert::entry).collect(),
        }))
    }
}
