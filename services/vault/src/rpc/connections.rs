//! Connections of teams.

use keystile_contract::{
    convert::{parse, parse_optional, text},
    deadline,
    proto::vault::v1::{
        BatchGetConnectionsRequest, BatchGetConnectionsResponse, CheckGrantRequest,
        CheckGrantResponse, ConnectionMatch, CreateConnectionRequest, CreateConnectionResponse,
        DeleteConnectionRequest, DeleteConnectionResponse, GetConnectionRequest,
        GetConnectionResponse, ListAuditRequest, ListAuditResponse, ListConnectionsRequest,
        ListConnectionsResponse, MatchConnectionsRequest, MatchConnectionsResponse,
        TestConnectionRequest, TestConnectionResponse,
        connection_service_server::ConnectionService,
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

    #[instrument(name = "vault.batch_get_connections", skip_all)]
    async fn batch_get_connections(
        &self,
        request: Request<BatchGetConnectionsRequest>,
    ) -> Answer<BatchGetConnectionsResponse> {
        let actor = actor_of(&self.0, &request)?;
        let ids = convert::connection_ids(&request.get_ref().connection_ids)?;
        let found = self.0.batch_get(&actor, &ids).await.map_err(refuse)?;
        let connections = found.iter().map(convert::connection).collect();
        Ok(Response::new(BatchGetConnectionsResponse { connections }))
    }

    #[instrument(name = "vault.match_connections", skip_all)]
    async fn match_connections(
        &self,
        request: Request<MatchConnectionsRequest>,
    ) -> Answer<MatchConnectionsResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let app = parse("app_key", &request.app_key)?;
        let components = convert::components(&request.components)?;
        let page = ConnectionPage {
            app: Some(parse("app_key", &request.app_key)?),
            before: parse_optional("page_token", &request.page_token)?,
            limit: convert::page_size(request.page_size)?,
        };
        let page =
            self.0.match_connections(&actor, &app, &components, page).await.map_err(refuse)?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Response::new(MatchConnectionsResponse {
            next_page_token: last.map(|last| last.connection.id.to_string()).unwrap_or_default(),
            matches: page
                .items
                .iter()
                .map(|found| ConnectionMatch {
                    connection: Some(convert::connection(&found.connection)),
                    problems: found.problems.iter().map(convert::problem).collect(),
                })
                .collect(),
        }))
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
        let outcome = Some(convert::deleted(&deleted));
        Ok(Response::new(DeleteConnectionResponse { outcome }))
    }

    #[instrument(name = "vault.check_grant", skip_all)]
    async fn check_grant(&self, request: Request<CheckGrantRequest>) -> Answer<CheckGrantResponse> {
        let request = request.into_inner();
        let team = parse("team_id", &request.team_id)?;
        let app = parse("app_key", &request.app_key)?;
        let connection = parse_optional("connection_id", &request.connection_id)?;
        let components = convert::components(&request.components)?;
        let verdict =
            self.0.check_grant(team, &app, connection, &components).await.map_err(refuse)?;
        Ok(Response::new(CheckGrantResponse {
            problems: verdict.problems.iter().map(convert::problem).collect(),
            integration_id: text(verdict.integration),
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
