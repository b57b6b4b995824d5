//! An outside app on loopback that says what it was sent.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use futures::stream;
use http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE};
use serde_json::json;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer in the place of the usual one.
#[derive(Debug, Clone)]
pub enum Next {
    /// This status with these headers and no body.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// A head, and then the connection breaks.
    Broken,
    /// This status and no body, once there is a permit, which it takes.
    Held(Arc<Semaphore>, u16),
}

#[derive(Default)]
struct Inner {
    seen: Mutex<Vec<Received>>,
    next: Mutex<VecDeque<Next>>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Inner>);

/// A real HTTP server. It answers
///
/// - `/status/{code}` with that status and no body,
/// - `/text` with plain text,
/// - `/bytes/{n}` with a JSON string that makes a body of `n` bytes,
/// - `/never` not at all,
/// - everything else with 200 and what it was sent: `{"method","path","query","headers","body"}`,
///
/// unless [`Upstream::next`] says otherwise.
pub struct Upstream {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Upstream {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Shared::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, server }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent, in order of arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.0.seen).clone()
    }

    /// Answers the next requests so, one each, in order of arrival.
    pub fn next(&self, answers: impl IntoIterator<Item = Next>) {
        lock(&self.shared.0.next).extend(answers);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = Received { method, uri, headers, body };
    lock(&shared.0.seen).push(received.clone());
    let next = lock(&shared.0.next).pop_front();
    match next {
        None => {}
        Some(Next::Status(code, headers)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(code).expect("a status");
            for (name, value) in headers {
                let value = http::HeaderValue::from_static(value);
                response.headers_mut().append(http::HeaderName::from_static(name), value);
            }
            return response;
        }
        Some(Next::Broken) => {
            let broken = stream::iter([Err::<Bytes, _>(io::Error::other("broken"))]);
            return reply(StatusCode::OK, "text/plain", Body::from_stream(broken));
        }
        Some(Next::Held(permits, code)) => {
            permits.acquire().await.expect("open").forget();
            let code = StatusCode::from_u16(code).expect("a status");
            return reply(code, "text/plain", Body::empty());
        }
    }
    let path = received.uri.path();
    if let Some(code) = path.strip_prefix("/status/") {
        let code = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
        return reply(code.unwrap_or(StatusCode::NOT_FOUND), "text/plain", Body::empty());
    }
    if path == "/text" {
        return reply(StatusCode::OK, "text/plain", Body::from("plain text"));
    }
    if let Some(length) = path.strip_prefix("/bytes/").and_then(|length| length.parse().ok()) {
        let filler = "x".repeat(usize::saturating_sub(length, 2));
        return reply(StatusCode::OK, "application/json", Body::from(format!("\"{filler}\"")));
    }
    if path == "/never" {
        std::future::pending::<()>().await;
    }
    let headers: serde_json::Map<_, _> = received
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let echo = json!({
        "method": received.method.as_str(),
        "path": path,
        "query": received.uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(&received.body),
    });
    reply(StatusCode::OK, "application/json", Body::from(echo.to_string()))
}

fn reply(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    response
}
