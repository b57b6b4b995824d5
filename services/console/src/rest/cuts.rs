//! `/cuts`: resuming a change that was answered as pending.

use axum::{extract::State, http::StatusCode, response::Response};
use keystile_contract::proto::issuance::v1::GetCutRequest;
use keystile_domain::{OperationId, Permission, Role};

use super::{
    Answer,
    extract::{NoQuery, PathId},
    openapi::Problems,
    outcome::{Outcome, answer},
    problem,
};
use crate::{Error, Service, token_use::Caller};

/// Waits until a change is in force everywhere, and gives its receipt.
#[utoipa::path(
    get, path = "/cuts/{id}", operation_id = "getCut", tag = "keys",
    params(("id" = String, Path, description = "`op_…`")),
    responses((status = OK, body = Outcome), (status = ACCEPTED, body = Outcome), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<OperationId>,
) -> Answer<Response> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let message = GetCutRequest { operation_id: id.to_string() };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &caller.actor, message)?;
    let cut = peers.answer(peers.keys().get_cut(request)).await;
    let outcome = Outcome::of(cut.map_err(|failure| problem::of(failure, &[]))?.outcome)?;
    Ok(answer(StatusCode::OK, outcome.status, outcome))
}
