//! Traces through the gRPC stack and the edge, to a collector. One process has one subscriber, so
//! it is one test; what is off comes first.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use http::{HeaderMap, HeaderValue};
use keystile_contract::{
    Identity, Transport,
    proto::triggers::v1::{
        GetStatusRequest, GetStatusResponse,
        trigger_service_client::TriggerServiceClient,
        trigger_service_server::{TriggerService, TriggerServiceServer},
    },
    transport::{local, remote},
};
use keystile_domain::Role;
use keystile_runtime::{
    Drain,
    grpc::{Callers, Limits, Stack, serve, stack},
    health::Readiness,
    http::harden,
    telemetry::{self, Config, traced},
};
use keystile_testkit::collector::{self, Collector};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes, transport::Endpoint};
use tower::ServiceExt as _;
use tracing::Span;

const STATUS: &str = "keystile.triggers.v1.TriggerService/GetStatus";
const OUTSIDE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Answers, and keeps the headers that came along.
#[derive(Clone, Default)]
struct Far(Arc<Mutex<Vec<HeaderMap>>>);

#[tonic::async_trait]
impl TriggerService for Far {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.0.lock().expect("not poisoned").push(headers);
        Ok(Response::new(GetStatusResponse::default()))
    }
}

impl Far {
    fn stack(&self) -> Stack {
        stack(Routes::new(TriggerServiceServer::new(self.clone())), Limits::default())
    }

    fn last(&self) -> HeaderMap {
        self.0.lock().expect("not poisoned").last().cloned().expect("was called")
    }
}

async fn ask(transport: Transport) {
    TriggerServiceClient::new(transport).get_status(GetStatusRequest {}).await.expect("answers");
}

/// An edge whose one route asks `transport`.
fn edge(transport: Transport) -> Router {
    let route = get(move || ask(transport.clone()));
    harden(Router::new().route("/ask/{token}", route), &keystile_runtime::http::Limits::default())
}

async fn request(edge: Router, parents: &[&str]) {
    let mut request = http::Request::get("/ask/canary-path?key=canary-query")
        .header("authorization", "Bearer canary-header")
        .header("tracestate", "vendor=canary-state");
    for parent in parents {
        request = request.header("traceparent", *parent);
    }
    let request = request.body(axum::body::Body::empty()).expect("a request");
    assert!(edge.oneshot(request).await.expect("answers").status().is_success());
}

/// The spans from a root of the process to its end, each the parent of the next.
fn line<'a>(spans: &'a [collector::Span], root: &'a collector::Span) -> Vec<&'a collector::Span> {
    let mut line = vec![root];
    while let Some(next) = spans.iter().find(|span| span.parent == line[line.len() - 1].id) {
        line.push(next);
    }
    line
}

fn shape<'a>(line: &[&'a collector::Span]) -> Vec<(&'a str, &'a str)> {
    line.iter().map(|span| (span.name.as_str(), span.kind.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_within_and_across_processes_and_nothing_is_sent_while_it_is_off() {
    let far = Far::default();
    let near = || traced(local(far.stack(), Identity::Role(Role::Gateway)), Role::Triggers);

    request(edge(near()), &[OUTSIDE]).await;
    assert!(far.last().get("traceparent").is_none(), "off: nothing is sent");
    let mut own = HeaderMap::new();
    own.insert("traceparent", HeaderValue::from_static(OUTSIDE));
    telemetry::outside(&Span::current(), &mut own);
    assert_eq!(own["traceparent"], OUTSIDE, "off: what is sent stays as it is");

    let collector = Collector::start().await;
    let config = Config { otlp_endpoint: Some(collector.endpoint()), ..Config::default() };
    let roles = ["gateway".to_owned()];
    let guard = telemetry::init(&config, "warn", Some(&roles)).expect("starts");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let drain = Drain::new();
    let serving = serve(
        listener,
        far.stack(),
        Callers::Loopback(Identity::Role(Role::Gateway)),
        Readiness::new(drain.stopping()),
        drain.clone(),
        Limits::default(),
    );
    drain.spawn(async move { serving.await.expect("is loopback") });
    let channel = Endpoint::from_shared(format!("http://{addr}")).expect("a URL");
    let channel = channel.connect().await.expect("connects");

    request(edge(near()), &[OUTSIDE]).await;
    request(edge(traced(remote(channel.clone()), Role::Triggers)), &[]).await;
    let sent = far.last()["traceparent"].to_str().expect("text").to_owned();
    for parents in [&["canary"][..], &[OUTSIDE, OUTSIDE]] {
        request(edge(near()), parents).await;
    }
    for name in ["traceparent", "tracestate", "baggage"] {
        own.insert(name, HeaderValue::from_static("canary"));
    }
    telemetry::outside(&Span::none(), &mut own);
    assert!(own.is_empty(), "outside apps are told the trace of the call or none: {own:?}");
    drain.stop(Duration::from_secs(5), pending()).await;
    // Sends what is left.
    drop(guard);

    let spans = collector.spans();
    let edges: Vec<_> = spans.iter().filter(|span| span.name == "GET /ask/{token}").collect();
    assert_eq!(edges.len(), 4, "{spans:#?}");
    for edge in &edges {
        let expected = [("GET /ask/{token}", "Server"), (STATUS, "Client"), (STATUS, "Server")];
        let line = line(&spans, edge);
        assert_eq!(shape(&line), expected, "{spans:#?}");
        assert!(line.iter().all(|span| span.trace == edge.trace), "{spans:#?}");
        let server = line[2];
        assert_eq!(server.attribute("rpc.system"), "grpc");
        assert_eq!(server.attribute("rpc.service"), "keystile.triggers.v1.TriggerService");
        assert_eq!(server.attribute("rpc.method"), "GetStatus");
        assert_eq!(server.attribute("rpc.grpc.status_code"), "0");
        assert_eq!(server.attribute("peer"), "role/gateway");
        assert_eq!(server.attribute("service.name"), "keystile");
        assert_eq!(server.attribute("keystile.roles"), "gateway");
        assert_eq!(edge.attribute("http.request.method"), "GET");
        assert_eq!(edge.attribute("http.route"), "/ask/{token}");
        assert_eq!(edge.attribute("http.response.status_code"), "200");
    }
    let (continued, roots): (Vec<&collector::Span>, Vec<&collector::Span>) =
        edges.into_iter().partition(|edge| edge.parent == "00f067aa0ba902b7");
    assert_eq!(continued.len(), 1, "only one was well formed");
    assert_eq!(continued[0].trace, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(roots.iter().all(|root| root.parent.is_empty()), "{roots:#?}");
    let remote = spans.iter().find(|span| sent.contains(&span.id)).expect("the one that was sent");
    assert_eq!((remote.name.as_str(), remote.kind.as_str()), (STATUS, "Client"));

    assert_eq!(spans.len(), 12, "what exports is not exported: {spans:#?}");
    let everything = collector.everything();
    assert!(everything.contains("/ask/{token}"), "what is searched is there");
    assert!(!everything.contains("canary"), "{everything}");
}
