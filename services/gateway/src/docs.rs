//! `GET /docs`: Swagger UI over this gateway's own document. Everything it loads comes from here.

use std::sync::{Arc, LazyLock};

use axum::{
    body::Body,
    extract::{Path, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use keystile_runtime::Problem;
use utoipa_swagger_ui::{Config, Url};

use crate::{code, openapi::PageProblems};

/// Its own scripts and styles and nothing else, and requests to this origin only. Swagger UI sets
/// `style` attributes, and its icons are `data:` images.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// No badge of the public validator, and no document named by the query.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new([Url::new("Keystile", "/openapi.json")]);
    Arc::new(config.validator_url("none").query_config_enabled(false).try_it_out_enabled(true))
});

/// These pages.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "getDocs",
    tag = "service",
    responses((status = SEE_OTHER, description = "The pages are under `/docs/`."))
)]
pub(crate) async fn docs() -> Redirect {
    Redirect::to("/docs/")
}

/// The page itself.
#[utoipa::path(
    get,
    path = "/docs/",
    operation_id = "getDocsPage",
    tag = "service",
    responses((status = OK, description = "The page.", content_type = "text/html"))
)]
pub(crate) async fn page() -> Result<Response, Problem> {
    serve("index.html")
}

/// What the page loads.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    operation_id = "getDocsFile",
    tag = "service",
    params(("file" = String, Path, example = "swagger-ui.css")),
    responses((status = OK, description = "The file."), PageProblems)
)]
pub(crate) async fn file(name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| code::NOT_FOUND.problem())?;
    serve(&name)
}

/// One of the files inside the binary. Names are compared, never opened.
fn serve(name: &str) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).map_err(|error| {
        tracing::error!(%error, "the pages cannot be served");
        code::INTERNAL.problem()
    })?;
    let file = found.ok_or_else(|| code::NOT_FOUND.problem())?;
    let mut response = Body::from(file.bytes.into_owned()).into_response();
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&file.content_type);
    headers.insert(
        header::CONTENT_TYPE,
        kind.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    Ok(response)
}
