//! The layers around every router.

use std::{any::Any, net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body_util::Limited;
use tracing::{Instrument as _, Span, field::Empty};

use super::{Limits, RequestId, json, request_id};
use crate::{
    Problem,
    telemetry::{self, Incoming, metrics::method},
};

/// Fields that decide who calls or where a message ends: one each, or the request is refused
/// rather than read in one of two ways.
const SINGLE: [HeaderName; 9] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::ORIGIN,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-connection-id"),
    HeaderName::from_static("x-csrf-token"),
];

/// Fields that a client must not have dropped by naming them in `Connection`: a proxy that passes
/// the list on would let it choose which address or credential is seen.
const END_TO_END: [HeaderName; 7] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-forwarded-for"),
    header::HOST,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
];

/// Fields that belong to one connection, RFC 9110 §7.6.1.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::UPGRADE,
];

/// Fields that only Keystile sets.
const INTERNAL: &str = "x-keystile-";

/// Answers of an API are data: nothing is loaded, framed or guessed. A handler that serves a page
/// sets its own policy.
const SECURITY: [(HeaderName, HeaderValue); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Puts the edge's layers around `router`: request ids, a span without query or headers, limits,
/// one `Authorization`, no hop-by-hop or internal fields, a time-out, panics as 500, and a problem
/// document for every failure, unknown paths and methods included.
pub fn harden(router: Router, limits: &Limits) -> Router {
    let bounds = limits.clone();
    router
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not take this method",
            )
        })
        // The limit is ours, for every extractor alike.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(move |request: Request, next: Next| guard(bounds.clone(), request, next)))
}

async fn guard(limits: Limits, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let span = span(&request, &id);
    let mut response = match admit(&limits, &request) {
        Ok(()) => {
            request.extensions_mut().insert(id.clone());
            strip(request.headers_mut());
            let request = request.map(|body| Body::new(Limited::new(body, limits.body_bytes)));
            answer(request, next, limits.request_timeout).instrument(span.clone()).await
        }
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = named(response, problem.for_request(id.clone()));
    }
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
    response.headers_mut().insert(request_id::HEADER, id.header());
    let status = response.status();
    if telemetry::exporting() {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    tracing::debug!(parent: &span, http.status = status.as_u16(), "answered");
    response
}

/// HTTP conventions of `OpenTelemetry`, but for `url.path`: the route's pattern stands for it, since
/// some paths carry a token. What only they need is recorded only for them.
fn span(request: &Request, id: &RequestId) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let method = method(request.method());
    let span = tracing::info_span!(
        "http.request",
        http.request.method = method,
        http.route = route,
        request.id = %id,
        http.response.status_code = Empty,
        otel.kind = Empty,
        otel.name = Empty,
        otel.status_code = Empty,
    );
    if telemetry::exporting() {
        telemetry::local_or(&span, request.headers(), Incoming::Outside);
        span.record("otel.kind", "server");
        match route {
            Some(route) => span.record("otel.name", format_args!("{method} {route}")),
            None => span.record("otel.name", method),
        };
    }
    span
}

/// The same answer with the document that names the request; what layers added stays.
fn named(response: Response, problem: Problem) -> Response {
    let mut renamed = problem.into_response();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    renamed.headers_mut().extend(parts.headers);
    renamed.extensions_mut().extend(parts.extensions);
    renamed
}

async fn answer(request: Request, next: Next, within: Duration) -> Response {
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(within, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            tracing::error!(panic = said(&*panic), "a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => {
            tracing::warn!("a handler took too long");
            Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "the request took longer than this server waits",
            )
            .into_response()
        }
    }
}

/// The text of a panic that is a literal. Formatted ones may quote anything and are not logged
/// here; the panic hook has them.
fn said(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("formatted message")
}

fn admit(limits: &Limits, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri > limits.uri_bytes {
        let detail = "the path and query are longer than this server accepts";
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > limits.header_count || bytes > limits.header_bytes {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "the header fields are more or larger than this server accepts",
        ));
    }
    if let Some(name) = SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "duplicate_header",
            format!("the header field {name} may occur once"),
        ));
    }
    if let Some(name) = named_by_connection(headers).find(|name| END_TO_END.contains(name)) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_connection_header",
            format!("Connection may not name {name}"),
        ));
    }
    // RFC 9112 §3.2. A request that came over no socket is a call within this process.
    let over_socket = request.extensions().get::<ConnectInfo<SocketAddr>>().is_some();
    if over_socket && request.version() == Version::HTTP_11 && !headers.contains_key(header::HOST) {
        let detail = "an HTTP/1.1 request needs one Host";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "host_required", detail));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(json::too_large());
    }
    Ok(())
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
}

/// Takes away what is meant for one connection or only Keystile may say.
fn strip(headers: &mut HeaderMap) {
    let internal = headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned();
    let drop: Vec<_> = named_by_connection(headers).chain(internal).chain(HOP_BY_HOP).collect();
    for name in drop {
        headers.remove(name);
    }
}
