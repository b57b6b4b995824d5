//! `/connections`: linked accounts. A credential goes in and never comes out.

mod body;
pub(super) mod matches;
pub(super) mod view;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use keystile_contract::{
    convert,
    proto::vault::v1::{
        DeleteConnectionRequest, GetConnectionRequest, ListConnectionsRequest,
        TestConnectionRequest,
    },
};
use keystile_domain::{ConnectionId, Permission, Role};
use keystile_runtime::http::StrictJson;

use self::{
    body::{CreateConnection, ListConnections},
    view::{Connection, Tested},
};
use super::{
    Answer,
    extract::{NoBody, NoIdempotencyKey, NoQuery, PathId, StrictQuery},
    openapi::Problems,
    outcome::{Outcome, answer},
    page::Page,
    problem,
};
use crate::{Error, Service, token_use::Caller};

/// The members of a create body by the fields of vault's message. A field of the credential is
/// called what the app's document calls it.
const CREATE_NAMES: &[(&str, &str)] = &[("credential.fields.", "/credential/fields/")];
/// The members of a create body that name something.
const CREATE_NAMED: &[(&str, &str)] =
    &[("unknown_app", "app_key"), ("integration_not_found", "credential.integration_id")];

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
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, body.message())?;
    let created = peers.answer(peers.connections().create_connection(request)).await;
    let created =
        created.map_err(|failure| problem::of_body(failure, CREATE_NAMES, CREATE_NAMED))?;
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
