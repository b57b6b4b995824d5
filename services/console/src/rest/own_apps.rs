//! `/apps`: the team's own, as OpenAPI documents.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use keystile_contract::{
    convert,
    proto::vault::v1::{self as proto, AddAppRequest, GetAppRequest, RemoveAppRequest},
};
use keystile_domain::{AppKey, Permission, Role};
use keystile_runtime::{Problem, http::StrictJson};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    extract::{NoBody, NoIdempotencyKey, PathApp, StrictQuery},
    openapi::Problems,
    outcome::Outcome,
    problem,
};
use crate::{Error, Service, token_use::Caller};

/// A version of an app that a team added.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnApp {
    key: String,
    /// From 1.
    version: u64,
    name: String,
    component_count: u32,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// By whom.
    created_by: String,
}

impl OwnApp {
    fn of(app: Option<proto::OwnApp>) -> Result<Self, Problem> {
        let app = app.ok_or_else(Problem::internal)?;
        let created_at = app.created_at.as_ref().and_then(convert::wall);
        Ok(Self {
            key: app.app_key,
            version: app.version,
            name: app.name,
            component_count: app.component_count,
            created_at: created_at.ok_or_else(Problem::internal)?,
            created_by: app.created_by,
        })
    }
}

/// A part of a document that could not be mapped.
#[derive(Serialize, ToSchema)]
pub(super) struct ReportLine {
    /// JSON pointer into the document.
    pointer: String,
    /// Why, and what becomes of it.
    problem: String,
}

fn report(lines: Vec<proto::ReportLine>) -> Vec<ReportLine> {
    let line =
        |line: proto::ReportLine| ReportLine { pointer: line.pointer, problem: line.problem };
    lines.into_iter().map(line).collect()
}

/// A key that holds, or held, components that are gone.
#[derive(Serialize, ToSchema)]
pub(super) struct Holder {
    /// `key_…`
    id: String,
    name: String,
}

fn holders(holders: Vec<proto::Holder>) -> Vec<Holder> {
    holders.into_iter().map(|one| Holder { id: one.key_id, name: one.name }).collect()
}

/// A document, as a value or as text.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Document {
    /// YAML or JSON.
    Text(String),
    /// JSON.
    #[schema(value_type = Object)]
    Value(serde_json::Map<String, Value>),
}

/// An app to add.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AddApp {
    /// 1 to 40 of `a-z`, `0-9` and single hyphens between them.
    #[schema(value_type = String, example = "acme")]
    key: AppKey,
    /// OpenAPI 3.0 or 3.1; at most 4 MiB.
    document: Document,
    /// Take components that are gone from the keys that hold them?
    #[serde(default)]
    force: bool,
    /// Only say what would be.
    #[serde(default)]
    dry_run: bool,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Added {
    app: OwnApp,
    /// False: this document is what is there already, or it was a dry run.
    stored: bool,
    /// What could not be mapped.
    report: Vec<ReportLine>,
    /// Components that the version before did not have.
    #[serde(rename = "added")]
    new: Vec<String>,
    /// Components that only the version before had.
    removed: Vec<String>,
    /// Keys that hold, or held, some of those, the first 20.
    holders: Vec<Holder>,
    /// How many keys in all.
    holder_count: u64,
    /// Of the cut, if there was one.
    outcome: Option<Outcome>,
}

/// Longer than other requests: a document is read, and a cut may be waited for.
const PATIENCE: Duration = Duration::from_secs(25);

/// Adds an app of the team's own, or its next version.
///
/// Components that keys hold stay: a document without them is refused with 409 `components_in_use`,
/// or, with `force`, they are taken from those keys, and that is in force everywhere before the
/// version is stored.
#[utoipa::path(
    post, path = "/apps", operation_id = "addApp", tag = "apps",
    request_body = AddApp,
    responses(
        (status = CREATED, description = "A new version.", body = Added),
        (status = OK, description = "Nothing was stored.", body = Added),
        Problems
    )
)]
pub(super) async fn add(
    State(service): State<Service>,
    caller: Caller,
    _: super::extract::NoQuery,
    _: NoIdempotencyKey,
    StrictJson(body): StrictJson<AddApp>,
) -> Answer<Response> {
    caller.require(Permission::AppsWrite).map_err(Error::from)?;
    let document = match body.document {
        Document::Text(text) => text,
        Document::Value(value) => Value::Object(value).to_string(),
    };
    let message = AddAppRequest {
        app_key: body.key.to_string(),
        document,
        force: body.force,
        dry_run: body.dry_run,
    };
    let peers = service.peers();
    let mut request = peers.request(Role::Vault, &caller.actor, message)?;
    request.set_timeout(PATIENCE);
    let answer = peers.own_apps().add_app(request).await;
    let added = answer.map_err(|status| problem::of(status.into(), &[("app_key", "key")]))?;
    let added = added.into_inner();
    let status = if added.stored { StatusCode::CREATED } else { StatusCode::OK };
    let shown = Added {
        app: OwnApp::of(added.app)?,
        stored: added.stored,
        report: report(added.report),
        new: added.added,
        removed: added.removed,
        holders: holders(added.holders),
        holder_count: added.holder_count,
        outcome: added.outcome.map(|outcome| Outcome::of(Some(outcome))).transpose()?,
    };
    Ok((status, Json(shown)).into_response())
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Version {
    /// The newest without.
    version: Option<u64>,
}

/// A version with its document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppDocument {
    app: OwnApp,
    /// As it was added.
    document: String,
    /// What could not be mapped.
    report: Vec<ReportLine>,
}

/// The document of one of the team's own apps.
#[utoipa::path(
    get, path = "/apps/{appKey}/document", operation_id = "getAppDocument", tag = "apps",
    params(("appKey" = String, Path, example = "acme"), Version),
    responses((status = OK, body = AppDocument), Problems)
)]
pub(super) async fn document(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Version>,
    PathApp(key): PathApp<AppKey>,
) -> Answer<Json<AppDocument>> {
    caller.require(Permission::Read).map_err(Error::from)?;
    let peers = service.peers();
    let version = query.version.unwrap_or(0);
    let message = GetAppRequest { app_key: key.to_string(), version };
    let request = peers.request(Role::Vault, &caller.actor, message)?;
    let found = peers.answer(peers.own_apps().get_app(request)).await;
    let found = found.map_err(|failure| problem::of(failure, &[]))?;
    Ok(Json(AppDocument {
        app: OwnApp::of(found.app)?,
        document: found.document,
        report: report(found.report),
    }))
}

/// Whether to take its components from keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Removal {
    /// Take its components from the keys that hold them?
    #[serde(default)]
    force: bool,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Removed {
    /// Keys that held some of its components, the first 20.
    holders: Vec<Holder>,
    /// How many keys in all.
    holder_count: u64,
    /// Of the cut, if there was one.
    outcome: Option<Outcome>,
}

/// Removes one of the team's own apps.
#[utoipa::path(
    delete, path = "/apps/{appKey}", operation_id = "removeApp", tag = "apps",
    params(("appKey" = String, Path, example = "acme"), Removal),
    responses((status = OK, body = Removed), Problems)
)]
pub(super) async fn remove(
    State(service): State<Service>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Removal>,
    PathApp(key): PathApp<AppKey>,
    _: NoBody,
) -> Answer<Json<Removed>> {
    caller.require(Permission::AppsWrite).map_err(Error::from)?;
    let peers = service.peers();
    let message = RemoveAppRequest { app_key: key.to_string(), force: query.force };
    let mut request = peers.request(Role::Vault, &caller.actor, message)?;
    request.set_timeout(PATIENCE);
    let answer = peers.own_apps().remove_app(request).await;
    let removed = answer.map_err(|status| problem::of(status.into(), &[]))?.into_inner();
    Ok(Json(Removed {
        holders: holders(removed.holders),
        holder_count: removed.holder_count,
        outcome: removed.outcome.map(|outcome| Outcome::of(Some(outcome))).transpose()?,
    }))
}
