//! `/integrations`: a team's own OAuth clients. A client secret goes in and never comes out.

mod body;
pub(super) mod connect;
mod view;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use keystile_contract::{
    convert,
    proto::vault::v1::{
        CheckIntegrationRequest, DeleteIntegrationRequest, DisableIntegrationRequest,
        EnableIntegrationRequest, GetIntegrationRequest, ListIntegrationsRequest,
    },
};
use keystile_domain::{IntegrationId, Permission, Role};
use keystile_runtime::{Problem, http::StrictJson};
use tonic::Request;

use self::{
    body::{CreateIntegration, ListIntegrations, UpdateIntegration},
    view::{Checked, Integration, Switched},
};
use super::{
    Answer,
    extract::{NoBody, NoIdempotencyKey, NoQuery, PathId, StrictQuery},
    openapi::Problems,
    outcome::{Outcome, answer},
    page::Page,
    problem,
};
use crate::{Error, Service, peers::Peers, token_use::Caller};

/// The members of a create body that name something.
const CREATE_NAMED: &[(&str, &str)] = &[("unknown_app", "app_key")];

/// A change to the integration of the path, asked for by someone who may change integrations.
pub(super) struct IntegrationAction {
    service: Service,
    caller: Caller,
    id: IntegrationId,
}

impl FromRequestParts<Service> for IntegrationAction {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, service).await?;
        caller.require(Permission::IntegrationsWrite).map_err(Error::from)?;
        NoQuery::from_request_parts(parts, service).await?;
        NoIdempotencyKey::from_request_parts(parts, service).await?;
        let PathId(id) = PathId::from_request_parts(parts, service).await?;
        Ok(Self { service: service.clone(), caller, id })
    }
}

impl IntegrationAction {
    fn peers(&self) -> &Peers {
        self.service.peers()
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, Problem> {
        Ok(self.peers().request(Role::Vault, &self.caller.actor, message)?)
    }
}

/// Lists integrations, newest first.
#[utoipa::path(
    get, path = "/integrations", operation_id = "listIntegrations", tag = "integrations",
    params(ListIntegrations),
    responses((status = OK, body = Page<Integration>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListIntegrations>,
) -> Answer<Json<Page<Integration>>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let message = ListIntegrationsRequest {
        page_size: query.page_size.get(),
        page_token: query.cursor.unwrap_or_default(),
        app_key: convert::text(query.app),
    };
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let answer = peers.answer(peers.integrations().list_integrations(request)).await;
    let page = answer.map_err(problem::of_page)?;
    let items = page.integrations.into_iter().map(|own| Integration::of(Some(own)));
    Ok(Json(Page::new(items.collect::<Result<_, _>>()?, page.next_page_token)))
}

/// Adds a client, as a draft. Register its `callbackUrl` at the provider, then check it.
#[utoipa::path(
    post, path = "/integrations", operation_id = "createIntegration", tag = "integrations",
    request_body = CreateIntegration,
    responses((status = CREATED, body = Integration), Problems)
)]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    _: NoIdempotencyKey,
    StrictJson(body): StrictJson<CreateIntegration>,
) -> Answer<(StatusCode, Json<Integration>)> {
    caller.require(Permission::IntegrationsWrite).map_err(Error::from)?;
    let peers = service.peers();
    let request = peers.request(Role::Vault, &caller.actor, body.message())?;
    let created = peers.answer(peers.integrations().create_integration(request)).await;
    let created = created.map_err(|failure| problem::of_body(failure, &[], CREATE_NAMED))?;
    Ok((StatusCode::CREATED, Json(Integration::of(created.integration)?)))
}

/// One integration.
#[utoipa::path(
    get, path = "/integrations/{id}", operation_id = "getIntegration", tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")),
    responses((status = OK, body = Integration), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<IntegrationId>,
) -> Answer<Json<Integration>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let peers = service.peers();
    let message = GetIntegrationRequest { integration_id: id.to_string() };
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let found = peers.answer(peers.integrations().get_integration(request)).await;
    let found = found.map_err(|failure| problem::of(failure, &[]))?;
    Ok(Json(Integration::of(found.integration)?))
}

/// Changes name, client, scopes or return URLs. What is absent stays. Another client is a draft
/// until it was checked; accounts that are connected stay connected.
#[utoipa::path(
    patch, path = "/integrations/{id}", operation_id = "updateIntegration", tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")), request_body = UpdateIntegration,
    responses((status = OK, body = Integration), Problems)
)]
pub(super) async fn update(
    action: IntegrationAction,
    StrictJson(body): StrictJson<UpdateIntegration>,
) -> Answer<Json<Integration>> {
    let request = action.request(body.message(action.id))?;
    let peers = action.peers();
    let updated = peers.answer(peers.integrations().update_integration(request)).await;
    let updated = updated.map_err(|failure| problem::of(failure, &[]))?;
    Ok(Json(Integration::of(updated.integration)?))
}

/// Asks the provider whether it knows the client. A draft that passes is configured.
#[utoipa::path(
    post, path = "/integrations/{id}/check", operation_id = "checkIntegration",
    tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")),
    responses((status = OK, body = Checked), Problems)
)]
pub(super) async fn check(action: IntegrationAction, _: NoBody) -> Answer<Json<Checked>> {
    let request =
        action.request(CheckIntegrationRequest { integration_id: action.id.to_string() })?;
    let peers = action.peers();
    let checked = peers.answer(peers.integrations().check_integration(request)).await;
    let checked = checked.map_err(|failure| problem::of(failure, &[]))?;
    let integration = Integration::of(checked.integration)?;
    Ok(Json(Checked { ok: checked.ok, detail: checked.detail, integration }))
}

/// Stops every key that acts through the integration, and the connecting of accounts.
#[utoipa::path(
    post, path = "/integrations/{id}/disable", operation_id = "disableIntegration",
    tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")),
    responses((status = OK, body = Switched), (status = ACCEPTED, body = Switched), Problems)
)]
pub(super) async fn disable(action: IntegrationAction, _: NoBody) -> Answer<Response> {
    let message = DisableIntegrationRequest { integration_id: action.id.to_string() };
    let request = action.request(message)?;
    let peers = action.peers();
    let disabled = peers.answer(peers.integrations().disable_integration(request)).await;
    let disabled = disabled.map_err(|failure| problem::of(failure, &[]))?;
    Switched::answer(disabled.integration, disabled.outcome)
}

/// Ends that. It is configured if it was checked before.
#[utoipa::path(
    post, path = "/integrations/{id}/enable", operation_id = "enableIntegration",
    tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")),
    responses((status = OK, body = Switched), (status = ACCEPTED, body = Switched), Problems)
)]
pub(super) async fn enable(action: IntegrationAction, _: NoBody) -> Answer<Response> {
    let message = EnableIntegrationRequest { integration_id: action.id.to_string() };
    let request = action.request(message)?;
    let peers = action.peers();
    let enabled = peers.answer(peers.integrations().enable_integration(request)).await;
    let enabled = enabled.map_err(|failure| problem::of(failure, &[]))?;
    Switched::answer(enabled.integration, enabled.outcome)
}

/// Destroys the client secret. Accounts that are connected through it have to be deleted first.
#[utoipa::path(
    delete, path = "/integrations/{id}", operation_id = "deleteIntegration", tag = "integrations",
    params(("id" = String, Path, description = "`int_…`")),
    responses((status = OK, body = Outcome), (status = ACCEPTED, body = Outcome), Problems)
)]
pub(super) async fn delete(action: IntegrationAction, _: NoBody) -> Answer<Response> {
    let message = DeleteIntegrationRequest { integration_id: action.id.to_string() };
    let request = action.request(message)?;
    let peers = action.peers();
    let deleted = peers.answer(peers.integrations().delete_integration(request)).await;
    let deleted = deleted.map_err(|failure| problem::of(failure, &[]))?;
    let outcome = Outcome::of(deleted.outcome)?;
    Ok(answer(StatusCode::OK, outcome.status, outcome))
}
