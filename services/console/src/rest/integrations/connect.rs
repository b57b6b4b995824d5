//! `/integrations/{id}/connect`: the way of a person's browser to a connected account.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use keystile_contract::{
    Failure, convert,
    proto::vault::v1::{StartConnectRequest, StartConnectResponse},
};
use keystile_domain::{ConnectionId, IntegrationId, Permission, Role};
use keystile_runtime::{Problem, http::StrictJson};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    Error, Service,
    rest::{
        Answer,
        extract::{NoIdempotencyKey, NoQuery, PathId},
        openapi::Problems,
        problem,
    },
    token_use::Caller,
};

/// Vault's word for what the path names here.
const NAMES: &[(&str, &str)] = &[("integration_id", "")];
/// The members of the body that name something.
const NAMED: &[(&str, &str)] = &[("connection_not_found", "connection_id")];

/// An account to connect: a new one by `name`, or one that is there by `connectionId`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct Connect {
    /// For a new connection: 1 to 200 characters.
    name: Option<String>,
    /// To connect again: `conn_…` of this integration. It keeps its id and the grants of keys.
    #[schema(value_type = Option<String>)]
    connection_id: Option<ConnectionId>,
    /// Values for the variables of the app's address, for a new connection.
    #[serde(default)]
    server_variables: HashMap<String, String>,
    /// Where the browser goes in the end: one of the integration's return URLs. Absent: it stays on
    /// the last page.
    return_url: Option<String>,
}

impl Connect {
    fn message(self, id: IntegrationId) -> Result<StartConnectRequest, Failure> {
        if self.name.is_some() == self.connection_id.is_some() {
            return Err(Failure::invalid("", "give either name or connectionId"));
        }
        if self.connection_id.is_some() && !self.server_variables.is_empty() {
            let told = "a connection that is there keeps its own";
            return Err(Failure::invalid("server_variables", told));
        }
        Ok(StartConnectRequest {
            integration_id: id.to_string(),
            name: self.name.unwrap_or_default(),
            connection_id: convert::text(self.connection_id),
            server_variables: self.server_variables,
            return_url: self.return_url.unwrap_or_default(),
        })
    }
}

/// A way for one browser, once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct Started {
    /// Send the person's browser there. It holds a one-use ticket: whoever opens it first connects
    /// their account.
    url: String,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

impl Started {
    fn of(started: StartConnectResponse) -> Result<Self, Problem> {
        let expires_at = started.expires_at.as_ref().and_then(convert::wall);
        Ok(Self { url: started.url, expires_at: expires_at.ok_or_else(Problem::internal)? })
    }
}

/// Starts connecting an account: gives the address at which a person consents.
#[utoipa::path(
    post, path = "/integrations/{id}/connect", operation_id = "startConnect",
    tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")), request_body = Connect,
    responses((status = CREATED, body = Started), Problems)
)]
pub(in crate::rest) async fn start(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    _: NoIdempotencyKey,
    PathId(id): PathId<IntegrationId>,
    StrictJson(body): StrictJson<Connect>,
) -> Answer<(StatusCode, Json<Started>)> {
    caller.require(Permission::ConnectionsWrite).map_err(Error::from)?;
    let told = |failure| problem::of_body(failure, NAMES, NAMED);
    let message = body.message(id).map_err(told)?;
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let started = peers.answer(peers.connects().start_connect(request)).await.map_err(told)?;
    Ok((StatusCode::CREATED, Json(Started::of(started)?)))
}
