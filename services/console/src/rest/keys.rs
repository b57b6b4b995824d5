//! `/keys`: what a team does with its keys. Issuance decides; this tells, with how the connections
//! behind them are.

mod body;
mod change;
mod health;
mod view;

use std::slice;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use keystile_contract::convert;
use keystile_contract::proto::{
    common::v1::Environment as ProtoEnvironment,
    issuance::v1::{
        CreateKeyRequest, DeleteKeyRequest, DisableKeyRequest, EnableKeyRequest, EndOverlapRequest,
        GetKeyRequest, ListKeysRequest, PutGrantRequest, RegenerateKeyRequest, RemoveGrantRequest,
        RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest,
    },
};
use keystile_domain::{AppKey, KeyId, Permission, Role};
use keystile_runtime::http::StrictJson;

use self::{
    body::{CreateKey, GrantBody, ListKeys, RotateKey, UpdateKey},
    change::{Change, KeyAction},
    view::{Changed, KeyView},
};
use super::{
    Answer,
    extract::{IdempotencyKey, NoBody, NoQuery, PathApp, PathId, StrictQuery},
    openapi::Problems,
    outcome::{Outcome, answer},
    page::Page,
    problem,
};
use crate::{Error, Service, token_use::Caller};

/// The members of a create body by the fields of issuance's message.
const CREATE_NAMES: &[(&str, &str)] = &[("grants", "connections")];
/// The same of an update.
const UPDATE_NAMES: &[(&str, &str)] =
    &[("expiry.at", "expires_at"), ("ip_allow_list.networks", "ip_allow_list")];
/// The same of a grant, whose app is in the path.
const GRANT_NAMES: &[(&str, &str)] = &[("grant", "")];

/// Lists keys that are not deleted, each with the state of the connections that it uses.
#[utoipa::path(
    get, path = "/keys", operation_id = "listKeys", tag = "keys", params(ListKeys),
    responses((status = OK, body = Page<KeyView>), Problems)
)]
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<ListKeys>,
) -> Answer<Json<Page<KeyView>>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let environment = query.environment.map_or(ProtoEnvironment::Unspecified, convert::environment);
    let message = ListKeysRequest {
        page_size: query.page_size.get(),
        page_token: query.cursor.unwrap_or_default(),
        name_contains: query.name.unwrap_or_default(),
        environment: environment.into(),
        status: query.status.map_or(0, |status| status.proto().into()),
        app_key: convert::text(query.app),
        sort: query.sort.unwrap_or_default().proto().into(),
    };
    let peers = service.peers();
    let request = peers.request(Role::Issuance, &caller.actor, message)?;
    let answer = peers.answer(peers.keys().list_keys(request)).await;
    let page = answer.map_err(problem::of_page)?;
    let keys = page.keys.into_iter().map(|key| KeyView::of(Some(key)));
    let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
    health::fill(&service, &caller, &mut keys).await;
    Ok(Json(Page::new(keys, page.next_page_token)))
}

/// Creates a key and shows its token, once.
#[utoipa::path(
    post, path = "/keys", operation_id = "createKey", tag = "keys", request_body = CreateKey,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat 409 \
        `operation_repeated` with the `keyId`; the token is never shown again.")),
    responses((status = CREATED, body = Changed), Problems)
)]
pub(super) async fn create(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    key: IdempotencyKey,
    StrictJson(body): StrictJson<CreateKey>,
) -> Answer<Response> {
    let operation = key.operation(&service, caller.team);
    let change = Change::new(service, caller, operation);
    change.require(Permission::for_keys_in(body.environment))?;
    let message: CreateKeyRequest = body.message(operation);
    let call = change.request(message)?;
    let created = change.answer(change.keys().create_key(call), CREATE_NAMES).await?;
    Changed::answer(StatusCode::CREATED, created.key, Some(created.token), created.outcome)
}

/// One key, with the state of the connections that it uses.
#[utoipa::path(
    get, path = "/keys/{id}", operation_id = "getKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = KeyView), Problems)
)]
pub(super) async fn show(
    State(service): State<Service>,
    caller: Caller,
    _: NoQuery,
    PathId(id): PathId<KeyId>,
) -> Answer<Json<KeyView>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let peers = service.peers();
    let message = GetKeyRequest { key_id: id.to_string() };
    let request = peers.request(Role::Issuance, &caller.actor, message)?;
    let answer = peers.answer(peers.keys().get_key(request)).await;
    let found = answer.map_err(|failure| problem::of(failure, &[]))?;
    let mut key = KeyView::of(found.key)?;
    health::fill(&service, &caller, slice::from_mut(&mut key)).await;
    Ok(Json(key))
}

/// Changes name, description, expiry, IP list or limits. What is absent stays.
#[utoipa::path(
    patch, path = "/keys/{id}", operation_id = "updateKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")), request_body = UpdateKey,
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn update(
    KeyAction { change, id }: KeyAction,
    StrictJson(body): StrictJson<UpdateKey>,
) -> Answer<Response> {
    let message: UpdateKeyRequest = body.message(id, change.operation());
    let call = change.request(message)?;
    let updated = change.answer(change.keys().update_key(call), UPDATE_NAMES).await?;
    Changed::answer(StatusCode::OK, updated.key, None, updated.outcome)
}

/// Revokes a key and takes it from the lists. The trail stays.
#[utoipa::path(
    delete, path = "/keys/{id}", operation_id = "deleteKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Outcome), (status = ACCEPTED, body = Outcome), Problems)
)]
pub(super) async fn delete(KeyAction { change, id }: KeyAction, _: NoBody) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(DeleteKeyRequest { key_id: id.to_string(), operation_id })?;
    let deleted = change.answer(change.keys().delete_key(call), &[]).await?;
    let outcome = Outcome::of(deleted.outcome)?;
    Ok(answer(StatusCode::OK, outcome.status, outcome))
}

/// Adds or replaces what a key may do with one app.
#[utoipa::path(
    put, path = "/keys/{id}/apps/{appKey}", operation_id = "putGrant", tag = "keys",
    params(
        ("id" = String, Path, description = "`key_…`"),
        ("appKey" = String, Path, example = "gmail")
    ),
    request_body = GrantBody,
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn put_grant(
    KeyAction { change, id }: KeyAction,
    PathApp(app): PathApp<AppKey>,
    StrictJson(body): StrictJson<GrantBody>,
) -> Answer<Response> {
    let message = PutGrantRequest {
        key_id: id.to_string(),
        grant: Some(body.message(&app)),
        operation_id: change.operation().to_string(),
    };
    let call = change.request(message)?;
    let put = change.answer(change.keys().put_grant(call), GRANT_NAMES).await?;
    Changed::answer(StatusCode::OK, put.key, None, put.outcome)
}

/// Takes away what a key may do with one app.
#[utoipa::path(
    delete, path = "/keys/{id}/apps/{appKey}", operation_id = "removeGrant", tag = "keys",
    params(
        ("id" = String, Path, description = "`key_…`"),
        ("appKey" = String, Path, example = "gmail")
    ),
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn remove_grant(
    KeyAction { change, id }: KeyAction,
    PathApp(app): PathApp<AppKey>,
    _: NoBody,
) -> Answer<Response> {
    let message = RemoveGrantRequest {
        key_id: id.to_string(),
        app_key: app.to_string(),
        operation_id: change.operation().to_string(),
    };
    let call = change.request(message)?;
    let removed = change.answer(change.keys().remove_grant(call), &[]).await?;
    Changed::answer(StatusCode::OK, removed.key, None, removed.outcome)
}

/// Stops a key for a while.
#[utoipa::path(
    post, path = "/keys/{id}/disable", operation_id = "disableKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn disable(KeyAction { change, id }: KeyAction, _: NoBody) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(DisableKeyRequest { key_id: id.to_string(), operation_id })?;
    let disabled = change.answer(change.keys().disable_key(call), &[]).await?;
    Changed::answer(StatusCode::OK, disabled.key, None, disabled.outcome)
}

/// Lets a disabled key work again.
#[utoipa::path(
    post, path = "/keys/{id}/enable", operation_id = "enableKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Changed), Problems)
)]
pub(super) async fn enable(KeyAction { change, id }: KeyAction, _: NoBody) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(EnableKeyRequest { key_id: id.to_string(), operation_id })?;
    let enabled = change.answer(change.keys().enable_key(call), &[]).await?;
    Changed::answer(StatusCode::OK, enabled.key, None, enabled.outcome)
}

/// Gives a new secret and refuses every earlier one at once. The token is shown once; a pending
/// answer carries it as well.
#[utoipa::path(
    post, path = "/keys/{id}/regenerate", operation_id = "regenerateKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn regenerate(KeyAction { change, id }: KeyAction, _: NoBody) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(RegenerateKeyRequest { key_id: id.to_string(), operation_id })?;
    let made = change.answer(change.keys().regenerate_key(call), &[]).await?;
    Changed::answer(StatusCode::OK, made.key, Some(made.token), made.outcome)
}

/// Gives a second secret; both work until the overlap ends. The token is shown once.
#[utoipa::path(
    post, path = "/keys/{id}/rotate", operation_id = "rotateKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")), request_body = RotateKey,
    responses((status = OK, body = Changed), Problems)
)]
pub(super) async fn rotate(
    KeyAction { change, id }: KeyAction,
    StrictJson(body): StrictJson<RotateKey>,
) -> Answer<Response> {
    let message = RotateKeyRequest {
        key_id: id.to_string(),
        overlap_ends_at: Some(convert::timestamp(body.overlap_ends_at)),
        operation_id: change.operation().to_string(),
    };
    let call = change.request(message)?;
    let made = change.answer(change.keys().rotate_key(call), &[]).await?;
    Changed::answer(StatusCode::OK, made.key, Some(made.token), made.outcome)
}

/// Ends the overlap of a rotation now.
#[utoipa::path(
    post, path = "/keys/{id}/end-overlap", operation_id = "endOverlap", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn end_overlap(
    KeyAction { change, id }: KeyAction,
    _: NoBody,
) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(EndOverlapRequest { key_id: id.to_string(), operation_id })?;
    let ended = change.answer(change.keys().end_overlap(call), &[]).await?;
    Changed::answer(StatusCode::OK, ended.key, None, ended.outcome)
}

/// Stops a key for good. Repeating it runs the barrier of the stored cut again.
#[utoipa::path(
    post, path = "/keys/{id}/revoke", operation_id = "revokeKey", tag = "keys",
    params(("id" = String, Path, description = "`key_…`")),
    responses((status = OK, body = Changed), (status = ACCEPTED, body = Changed), Problems)
)]
pub(super) async fn revoke(KeyAction { change, id }: KeyAction, _: NoBody) -> Answer<Response> {
    let operation_id = change.operation().to_string();
    let call = change.request(RevokeKeyRequest { key_id: id.to_string(), operation_id })?;
    let revoked = change.answer(change.keys().revoke_key(call), &[]).await?;
    Changed::answer(StatusCode::OK, revoked.key, None, revoked.outcome)
}
