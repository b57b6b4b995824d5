//! One exchange with an outside app, from request to answer.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::time::{Sleep, sleep};
use tracing::{Instrument as _, Span, field::Empty};
use url::Url;

use crate::{
    body::Body,
    credential::Credential,
    dial::{self, Connector},
    error::{Error, RedirectFault, UrlFault},
    gate::{Gate, Pass},
    headers,
    policy::{Limits, Policy},
    redirect,
    resolve::Resolve,
    scrub::{Patterns, Scrubber},
    target, tls,
};

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 16;
const LEAST_HEADER_BYTES: usize = 8 << 10;

/// What is asked of an outside app.
#[derive(Clone)]
pub struct Request {
    /// The method; CONNECT and TRACE are refused.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The caller's headers. Those about the connection and those that the client writes itself
    /// are dropped.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Time for everything, to the last byte of the answer's body.
    pub timeout: Duration,
}

/// What the outside app answered.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without cookies, without those about the connection, scrubbed.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
}

/// Writes the trace that a span belongs to into the headers of its request.
pub type Trace = fn(&Span, &mut HeaderMap);

/// The guarded client. Cheap to clone; clones share connections and bounds.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    gate: Arc<Gate>,
    limits: Arc<Limits>,
    trace: Option<Trace>,
}

impl Client {
    /// A client under `policy`, with connections of its own.
    pub fn new(policy: Policy, resolver: Arc<dyn Resolve>) -> Result<Self, Error> {
        Ok(Self::with_tls(policy, resolver, tls::config(tls::system_roots())?))
    }

    pub(crate) fn with_tls(policy: Policy, resolver: Arc<dyn Resolve>, tls: ClientConfig) -> Self {
        let limits = Arc::new(policy.limits.clone());
        let header_bytes = limits.response_header_bytes.max(LEAST_HEADER_BYTES);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_headers(limits.response_headers)
            .http1_max_buf_size(header_bytes)
            .http2_max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .build(dial::connector(Arc::new(policy), resolver, tls));
        let gate = Gate::new(limits.concurrency, limits.concurrency_per_host);
        Self { http, gate, limits, trace: None }
    }

    /// The same client, which tells outside apps the trace of each call as `trace` writes it.
    #[must_use]
    pub fn with_trace(self, trace: Trace) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// Sends a request with a credential and gives the answer as soon as its headers are here.
    ///
    /// Never sends twice what may have arrived: a request is repeated only where hyper hands it
    /// back unwritten, because the connection it was meant for had been closed.
    pub async fn send(
        &self,
        mut request: Request,
        credential: &Credential,
    ) -> Result<Response, Error> {
        let span = span(&request);
        if let Some(trace) = self.trace {
            trace(&span, &mut request.headers);
        }
        let answer = self.exchange(request, credential).instrument(span.clone()).await;
        match &answer {
            Ok(response) => {
                span.record("http.response.status_code", response.status.as_u16());
                if response.status.is_client_error() || response.status.is_server_error() {
                    span.record("otel.status_code", "ERROR");
                }
            }
            Err(error) => {
                span.record("error.type", tracing::field::display(error));
                span.record("otel.status_code", "ERROR");
            }
        }
        answer
    }

    async fn exchange(&self, request: Request, credential: &Credential) -> Result<Response, Error> {
        let mut deadline = Box::pin(sleep(request.timeout));
        let (pass, response, head) = tokio::select! {
            biased;
            () = &mut deadline => return Err(Error::Timeout),
            answer = self.follow(request, credential) => answer?,
        };
        self.receive(response, head, credential, deadline, pass)
    }

    /// The first answer that is not a redirect, and whether it can have no body (HEAD).
    async fn follow(
        &self,
        request: Request,
        credential: &Credential,
    ) -> Result<(Pass, http::Response<Incoming>, bool), Error> {
        let Request { mut method, mut url, mut headers, mut body, timeout: _ } = request;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(Error::MethodRefused);
        }
        if body.len() > self.limits.request_body {
            return Err(Error::RequestTooLarge { limit: self.limits.request_body });
        }
        target::uri(&url)?;
        let pass = self.gate.enter(url.host_str().ok_or(Error::Url(UrlFault::Host))?)?;
        headers::prepare(&mut headers);
        for hop in 0..=redirect::MOST {
            let answer = self.once(&method, &url, &headers, &body, credential).await;
            let response = match answer {
                Ok(response) => response,
                Err(error) if hop == 0 => return Err(error),
                Err(error) => return Err(Error::AfterRedirect(Box::new(error))),
            };
            let next = redirect::next(&url, &method, response.status(), response.headers())?;
            let Some(next) = next else {
                return Ok((pass, response, method == Method::HEAD));
            };
            if !next.keeps_body {
                body.clear();
                headers.remove(header::CONTENT_TYPE);
            }
            (url, method) = (next.url, next.method);
        }
        Err(Error::RedirectRefused(RedirectFault::TooMany))
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        credential: &Credential,
    ) -> Result<http::Response<Incoming>, Error> {
        let (mut url, mut headers) = (url.clone(), headers.clone());
        credential.apply(&mut url, &mut headers)?;
        let mut request = http::Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = target::uri(&url)?;
        *request.headers_mut() = headers;
        self.http.request(request).await.map_err(|error| dial::explain(&error))
    }

    fn receive(
        &self,
        response: http::Response<Incoming>,
        head: bool,
        credential: &Credential,
        deadline: Pin<Box<Sleep>>,
        pass: Pass,
    ) -> Result<Response, Error> {
        let (parts, incoming) = response.into_parts();
        let (status, mut headers) = (parts.status, parts.headers);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Protocol);
        }
        // HTTP/2 is bounded by its own measure of size; the number is counted here for both.
        if headers.len() > self.limits.response_headers
            || headers::size(&headers) > self.limits.response_header_bytes
        {
            return Err(Error::HeadersTooLarge);
        }
        let limit = self.limits.response_body;
        if !incoming.is_end_stream() {
            if headers::is_encoded(&headers) {
                return Err(Error::Compressed);
            }
            if incoming.size_hint().lower() > limit as u64 {
                return Err(Error::ResponseTooLarge { limit });
            }
        }
        headers::receive(&mut headers);
        let patterns = Patterns::new(&credential.secrets());
        if let Some(patterns) = &patterns {
            patterns.scrub_headers(&mut headers);
            if !head {
                // Scrubbing may change the length.
                headers.remove(header::CONTENT_LENGTH);
            }
        }
        let body = Body::new(incoming, deadline, pass, patterns.map(Scrubber::new), limit);
        Ok(Response { status, headers, body })
    }
}

/// HTTP conventions of `OpenTelemetry`, but for `url.full`: path, query and headers may carry a
/// credential.
fn span(request: &Request) -> Span {
    tracing::info_span!(
        "http.client",
        otel.kind = "client",
        otel.name = request.method.as_str(),
        http.request.method = request.method.as_str(),
        server.address = request.url.host_str(),
        server.port = request.url.port_or_known_default(),
        http.response.status_code = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.limits).finish_non_exhaustive()
    }
}
