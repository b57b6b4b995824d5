//! `GET /healthz` and `GET /readyz`, for whoever restarts processes and whoever sends them work.

use axum::{Json, extract::State};
use keystile_runtime::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Service, code, openapi::ReadyProblems};

/// How the gateway is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`: anything else is a problem document.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process runs. Says nothing about the services behind it.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    tag = "service",
    responses((status = OK, description = "It runs.", body = Health))
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Requests can be served now.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = "service",
    responses((status = OK, description = "They can.", body = Health), ReadyProblems)
)]
pub(crate) async fn readyz(State(service): State<Service>) -> Result<Json<Health>, Problem> {
    match service.ready().await {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(missing) => Err(code::NOT_READY.because(missing)),
    }
}
