//! The REST APIs: `/api/manage/v1` for a team's own tools, `/api/operator/v1` for the operator.

mod apps;
mod audit;
mod connections;
mod cuts;
mod extract;
mod integrations;
mod keys;
mod member;
mod openapi;
mod operator;
mod outcome;
mod own_apps;
mod page;
mod problem;
mod team;
mod tokens;

use axum::{
    Router,
    http::{HeaderValue, header},
    routing::get,
};
use bytes::Bytes;
use keystile_catalog::limits::DOCUMENT_BYTES;
use keystile_runtime::{
    Problem,
    http::{Limits, harden},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Service;

/// What a handler answers.
type Answer<T> = Result<T, Problem>;

/// Both APIs, hardened.
pub(crate) fn router(service: &Service) -> Router {
    let manage = OpenApiRouter::new()
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::update, keys::delete))
        .routes(routes!(keys::put_grant, keys::remove_grant))
        .routes(routes!(keys::disable))
        .routes(routes!(keys::enable))
        .routes(routes!(keys::regenerate))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::end_overlap))
        .routes(routes!(keys::revoke))
        .routes(routes!(cuts::show))
        .routes(routes!(apps::list, own_apps::add))
        .routes(routes!(apps::show, own_apps::remove))
        .routes(routes!(own_apps::document))
        .routes(routes!(connections::list, connections::create))
        .routes(routes!(connections::show, connections::delete))
        .routes(routes!(connections::test))
        .routes(routes!(connections::matches::list))
        .routes(routes!(integrations::list, integrations::create))
        .routes(routes!(integrations::show, integrations::update, integrations::delete))
        .routes(routes!(integrations::check))
        .routes(routes!(integrations::disable))
        .routes(routes!(integrations::enable))
        .routes(routes!(integrations::connect::start))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(team::show))
        .routes(routes!(audit::list));
    let operator = OpenApiRouter::new()
        .routes(routes!(operator::set_plan))
        .routes(routes!(operator::suspend))
        .routes(routes!(operator::resume))
        .routes(routes!(operator::retire_token_key));
    let (router, document) = OpenApiRouter::with_openapi(openapi::base())
        .nest("/api/manage/v1", manage)
        .nest("/api/operator/v1", operator)
        .split_for_parts();
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let serve = get(move || {
        let json = HeaderValue::from_static("application/json");
        std::future::ready(([(header::CONTENT_TYPE, json)], document.clone()))
    });
    let router = router.route("/api/manage/v1/openapi.json", serve).with_state(service.clone());
    // The text of a document is somewhat longer as a JSON string.
    let limits = Limits { body_bytes: 2 * DOCUMENT_BYTES, ..Limits::default() };
    harden(router, &limits)
}
