//! `GET /api/v1/me`: what the key says about itself.

use axum::Json;
use keystile_domain::{Grant, limits::Limits};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    key::Key,
    openapi::KeyProblems,
    query::{NoParameters, StrictQuery},
};

/// The key that was sent. Never its token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    /// Its id.
    #[schema(example = "key_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// Its name.
    name: String,
    /// The environment it is made for.
    #[schema(example = "prod", pattern = "^(prod|stg|dev)$")]
    environment: &'static str,
    /// What it may use. Empty: it may ask about itself and nothing else.
    grants: Vec<GrantView>,
    /// How much it may be used; null is unlimited.
    limits: LimitsView,
    /// What is left of the limits after this request; null where nothing is counted, which is
    /// everywhere in this version: limits are kept and shown, and not enforced yet.
    remaining: LimitsView,
    /// When it stops by itself; null is never.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<OffsetDateTime>,
}

/// What the key may do with one app.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Grant)]
struct GrantView {
    /// The app.
    #[schema(example = "gmail")]
    app_key: String,
    /// The connected account; null where the app needs none.
    connection_id: Option<String>,
    /// Component ids, at least one.
    #[schema(example = json!(["action.gmail.send-email"]))]
    allowed_components: Vec<String>,
}

/// Numbers of requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Limits)]
struct LimitsView {
    /// A minute.
    requests_per_minute: Option<u32>,
    /// A calendar month, UTC.
    requests_per_month: Option<u64>,
}

impl From<&Grant> for GrantView {
    fn from(grant: &Grant) -> Self {
        Self {
            app_key: grant.app().to_string(),
            connection_id: grant.connection().map(|id| id.to_string()),
            allowed_components: grant.components().iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_minute: limits.requests_per_minute,
            requests_per_month: limits.requests_per_month,
        }
    }
}

/// This key: name, environment, grants, limits, expiry.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    operation_id = "getMe",
    tag = "key",
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = OK, description = "The key.", body = Me), KeyProblems)
)]
pub(crate) async fn me(key: Key, _: StrictQuery<NoParameters>) -> Json<Me> {
    Json(Me {
        id: key.id.to_string(),
        name: key.name,
        environment: key.environment.as_str(),
        grants: key.grants.iter().map(GrantView::from).collect(),
        limits: key.limits.into(),
        remaining: key.remaining.into(),
        expires_at: key.expires_at,
    })
}
