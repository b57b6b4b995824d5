//! `/connections`: linked accounts. A credential goes in and never comes out.

use std::{collections::HashMap, fmt};

use axum::{Json, extract::State, http::StatusCode, response::Response};
use keystile_contract::{
    convert,
    proto::vault::v1::{
        self as proto, BasicCredential, ConnectionStatus, CreateConnectionRequest,
        DeleteConnectionRequest, GetConnectionRequest, ListConnectionsRequest, StaticCredential,
        TestConnectionRequest, static_credential::Kind,
    },
};
use keystile_domain::{AppKey, ConnectionId, Permission, Role};
use keystile_runtime::{Problem, http::StrictJson};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    extract::{NoBody, NoIdempotencyKey, NoQuery, PathId, StrictQuery},
    openapi::Problems,
    outcome::{Outcome, answer},
    page::{Page, PageSize},
    problem,
};
use crate::{Error, Service, token_use::Caller};

/// A linked account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    /// `conn_…`
    id: String,
    app_key: String,
    /// What people call it.
    name: String,
    /// `active`, `expired`, `revoked`, `missing_scopes` or `failing`.
    status: &'static str,
    /// Why it is not active.
    status_reason: Option<String>,
    /// `bearer`, `basic` or `api_key`.
    auth_scheme: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When a call last went out with it.
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
    /// `int_…`
    integration_id: Option<String>,
}

impl Connection {
    /// # Errors
    /// 500 if the service left something out.
    fn of(connection: Option<proto::Connection>) -> Result<Self, Problem> {
        let connection = connection.ok_or_else(Problem::internal)?;
        let status = match connection.status() {
            ConnectionStatus::Active => "active",
            ConnectionStatus::Expired => "expired",
            ConnectionStatus::Revoked => "revoked",
            ConnectionStatus::MissingScopes => "missing_scopes",
            ConnectionStatus::Failing => "failing",
            ConnectionStatus::Unspecified => return Err(Problem::internal()),
        };
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let created_at = connection.created_at.as_ref().and_then(convert::wall);
        Ok(Self {
            id: connection.id,
            app_key: connection.app_key,
            name: connection.name,
            status,
            status_reason: some(connection.status_reason),
            auth_scheme: connection.auth_scheme,
            created_at: created_at.ok_or_else(Problem::internal)?,
            last_used_at: connection.last_used_at.as_ref().and_then(convert::wall),
            integration_id: some(connection.integration_id),
        })
    }
}

/// A page of connections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListConnections {
    /// `nextCursor` of the page before; the filter must be the same.
    cursor: Option<String>,
    /// 1 to 200.
    #[serde(default)]
    #[param(value_type = u32)]
    page_size: PageSize,
    /// Only this app.
    #[param(value_type = Option<String>)]
    app: Option<AppKey>,
}

/// Lists connections, newest first.
#[utoipa::path(
    get, path = "/connections", operation_id = "listConnections", tag = "connections",
    params(ListConnections),
    responses((status = OK, body = Page<Connection>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListConnections>,
) -> Answer<Json<Page<Connection>>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let message = ListConnectionsRequest {
        page_size: query.page_size.get(),
        page_token: query.cursor.unwrap_or_default(),
        app_key: convert::text(query.app),
    };
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let answer = peers.answer(peers.connections().list_connections(request)).await;
    let page = answer.map_err(problem::of_page)?;
    let items = page.connections.into_iter().map(|connection| Connection::of(Some(connection)));
    Ok(Json(Page::new(items.collect::<Result<_, _>>()?, page.next_page_token)))
}

/// What the outside app knows the account by. Exactly one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Credential {
    /// For schemes of type http, bearer.
    BearerToken(String),
    /// For schemes of type apiKey.
    ApiKey(String),
    /// For schemes of type http, basic.
    Basic(Basic),
}

/// User and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    username: String,
    password: String,
}

impl Credential {
    fn message(self) -> StaticCredential {
        let kind = match self {
            Self::BearerToken(token) => Kind::BearerToken(token),
            Self::ApiKey(key) => Kind::ApiKey(key),
            Self::Basic(Basic { username, password }) => {
                Kind::Basic(BasicCredential { username, password })
            }
        };
        StaticCredential { kind: Some(kind) }
    }
}

/// An account to link.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateConnection {
    #[schema(value_type = String, example = "sandbox")]
    app_key: AppKey,
    /// 1 to 200 characters.
    name: String,
    credential: Credential,
    /// Values for the variables of the app's address.
    #[serde(default)]
    server_variables: HashMap<String, String>,
}

impl fmt::Debug for CreateConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateConnection").field("app", &self.app_key).finish_non_exhaustive()
    }
}

/// Links an account. The credential is sealed before it is stored and never shown again.
#[utoipa::path(
    post, path = "/connections", operation_id = "createConnection", tag = "connections",
    request_body = CreateConnection,
    responses((status = CREATED, body = Connection), Problems)
)]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    _: NoIdempotencyKey,
    StrictJson(body): StrictJson<CreateConnection>,
) -> Answer<(StatusCode, Json<Connection>)> {
    caller.require(Permission::ConnectionsWrite).map_err(Error::from)?;
    let message = CreateConnectionRequest {
        app_key: body.app_key.to_string(),
        name: body.name,
        credential: Some(body.credential.message()),
        server_variables: body.server_variables,
    };
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let created = peers.answer(peers.connections().create_connection(request)).await;
    let created = created.map_err(|failure| problem::of(failure, &[]))?;
    Ok((StatusCode::CREATED, Json(Connection::of(created.connection)?)))
}

/// One connection.
#[utoipa::path(
    get, path = "/connections/{id}", operation_id = "getConnection", tag = "connections",
    params(("id" = String, Path, description = "`conn_…`")),
    responses((status = OK, body = Connection), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<ConnectionId>,
) -> Answer<Json<Connection>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let peers = service.peers();
    let message = GetConnectionRequest { connection_id: id.to_string() };
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let found = peers.answer(peers.connections().get_connection(request)).await;
    let found = found.map_err(|failure| problem::of(failure, &[]))?;
    Ok(Json(Connection::of(found.connection)?))
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    /// Did the app accept the credential?
    ok: bool,
    /// One sentence for a person.
    detail: String,
    connection: Connection,
}

/// Calls the app's cheapest read with the credential.
#[utoipa::path(
    post, path = "/connections/{id}/test", operation_id = "testConnection", tag = "connections",
    params(("id" = String, Path, description = "`conn_…`")),
    responses((status = OK, body = Tested), Problems)
)]
pub(super) async fn test(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<ConnectionId>,
    _: NoBody,
) -> Answer<Json<Tested>> {
    caller.require(Permission::ConnectionsWrite).map_err(Error::from)?;
    let peers = service.peers();
    let message = TestConnectionRequest { connection_id: id.to_string() };
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let tested = peers.answer(peers.connections().test_connection(request)).await;
    let tested = tested.map_err(|failure| problem::of(failure, &[]))?;
    let connection = Connection::of(tested.connection)?;
    Ok(Json(Tested { ok: tested.ok, detail: tested.detail, connection }))
}

/// Destroys the credential, and stops every key that uses the connection from using it.
#[utoipa::path(
    delete, path = "/connections/{id}", operation_id = "deleteConnection", tag = "connections",
    params(("id" = String, Path, description = "`conn_…`")),
    responses((status = OK, body = Outcome), (status = ACCEPTED, body = Outcome), Problems)
)]
pub(super) async fn delete(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<ConnectionId>,
    _: NoBody,
) -> Answer<Response> {
    caller.require(Permission::ConnectionsWrite).map_err(Error::from)?;
    let peers = service.peers();
    let message = DeleteConnectionRequest { connection_id: id.to_string() };
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let deleted = peers.answer(peers.connections().delete_connection(request)).await;
    let deleted = deleted.map_err(|failure| problem::of(failure, &[]))?;
    let outcome = Outcome::of(deleted.outcome)?;
    Ok(answer(StatusCode::OK, outcome.status, outcome))
}
