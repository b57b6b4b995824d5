//! `GET /openapi.json`: the document, generated from the handlers and from the table of codes.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use keystile_runtime::problem::document::{FaultDocument, ProblemDocument};
use utoipa::{
    IntoResponses, OpenApi,
    openapi::{
        Content, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Server, Type,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{
    Service, auth,
    code::{self, Code},
    connect,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keystile gateway",
        description = "Run the actions of connected apps with a scoped key. Every error is an \
                       `application/problem+json` document with a stable `code`, but for the \
                       pages under `/connect/`, which answer people.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemDocument, FaultDocument)),
    tags(
        (name = "key", description = "The key itself."),
        (name = "components", description = "What the key may use."),
        (name = "connect", description = "Pages on which a person connects an account."),
        (name = "service", description = "Open to everybody.")
    )
)]
struct Document;

/// What does not come from a handler: how to sign in, where the API is, the schema of a problem.
pub(crate) fn base(public_url: Option<&str>) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.servers = public_url.map(|url| vec![Server::new(url)]);
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("ks_…").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let api_key = ApiKey::Header(ApiKeyValue::new(auth::X_API_KEY.as_str()));
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(api_key));
    document
}

/// The problem of a gateway that is not ready.
pub(crate) struct ReadyProblems;

/// The problem of a page that is not there.
pub(crate) struct PageProblems;

/// The problems of routes that take a key.
pub(crate) struct KeyProblems;

/// The problems of routes that take a key and name a component.
pub(crate) struct ComponentProblems;

/// The pages of a flow that did not go on.
pub(crate) struct ConnectPages;

/// The problems of a run.
pub(crate) struct RunProblems;

impl IntoResponses for ReadyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[code::NOT_READY])
    }
}

impl IntoResponses for PageProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[code::NOT_FOUND])
    }
}

impl IntoResponses for KeyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&code::of_key())
    }
}

impl IntoResponses for ComponentProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&code::of_component())
    }
}

impl IntoResponses for RunProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&code::of_run())
    }
}

impl IntoResponses for ConnectPages {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let described = connect::STATUSES.map(|status| {
            let reason = status.canonical_reason().unwrap_or_default();
            let page = ResponseBuilder::new().content("text/html", Content::new(None::<Ref>));
            let page = page.description(format!("{reason}, as a page for a person."));
            (status.as_u16().to_string(), RefOr::T(page.build()))
        });
        described.into()
    }
}

/// One response for each status, whose description lists the codes.
fn problems(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<StatusCode, Vec<&Code>>::new();
    for code in codes {
        by_status.entry(code.status).or_default().push(code);
    }
    let described = by_status.into_iter().map(|(status, codes)| {
        let lines = codes.iter().map(|code| format!("- `{}`: {}", code.code, code.meaning));
        let mut response =
            ResponseBuilder::new().description(lines.collect::<Vec<_>>().join("\n")).content(
                "application/problem+json",
                Content::new(Some(Ref::from_schema_name("Problem"))),
            );
        for (name, description) in headers_of(status) {
            let text = ObjectBuilder::new().schema_type(Type::String);
            let header =
                HeaderBuilder::new().schema(Some(text)).description(Some(*description)).build();
            response = response.header(*name, header);
        }
        (status.as_u16().to_string(), RefOr::T(response.build()))
    });
    described.collect()
}

fn headers_of(status: StatusCode) -> &'static [(&'static str, &'static str)] {
    match status {
        StatusCode::UNAUTHORIZED => &[("WWW-Authenticate", "The challenge of RFC 6750.")],
        StatusCode::TOO_MANY_REQUESTS => &[
            ("Retry-After", "Seconds until the limit allows again."),
            (
                "RateLimit",
                "The limit of the key that was reached, what is left of it and when it is reset.",
            ),
        ],
        StatusCode::SERVICE_UNAVAILABLE => &[("Retry-After", "Seconds until it is worth trying.")],
        StatusCode::CONFLICT => {
            &[("Retry-After", "With `idempotency_in_progress`: seconds until it is worth trying.")]
        }
        StatusCode::BAD_GATEWAY => &[
            ("Retry-After", "With `app_error`: seconds until the app wants to be asked again."),
            ("Keystile-Upstream-Status", "With `app_error`: the app's status."),
            ("Keystile-Upstream-*", "With `app_error`: selected headers of the app's answer."),
            ("Idempotency-Replayed", "With `app_error`: the answer to an earlier request."),
        ],
        _ => &[],
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "service",
    responses((status = OK, description = "An OpenAPI 3.1 document.", content_type = "application/json"))
)]
pub(crate) async fn openapi(
    State(service): State<Service>,
) -> ([(HeaderName, HeaderValue); 1], Bytes) {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], service.document())
}
