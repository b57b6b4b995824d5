//! Threats 12 and 42: what leaves as traces and metrics, where, and what is in it.

use std::collections::BTreeMap;

use keystile_testkit::collector::{Collector, Span};
use keystile_tests::Cluster;
use serde_json::json;

const VERIFY: &str = "keystile.verification.v1.VerificationService/Verify";
const RUN: &str = "keystile.vault.v1.ActionService/RunAction";
const ECHO: &str = "/api/v1/components/action.sandbox.echo/run";
const GET_NOTE: &str = "/api/v1/components/action.sandbox.get-note/run";

/// A key for the sandbox, after requests with things that must not leave.
struct Used {
    key: String,
    token: String,
    credential: String,
    connection: String,
}

async fn used(cluster: &Cluster) -> Used {
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let components =
        ["action.sandbox.echo", "action.sandbox.get-note", "action.sandbox.list-notes"];
    let (key, token) = cluster.key(&manage, &connection, &components).await;
    let caller = cluster.gateway().with_token(&token);
    let _ = caller.post(ECHO, &json!({"inputs": {"message": "canary-body"}})).await.expect(200);
    // The outside path and query have what the caller says.
    let _ = caller.post(GET_NOTE, &json!({"inputs": {"noteId": "canary-path"}})).await;
    let list = "/api/v1/components/action.sandbox.list-notes/run";
    let _ = caller.post(list, &json!({"inputs": {"tag": "canary-query"}})).await.expect(200);
    let _ = caller.get(&format!("/api/v1/me?canary-query={token}")).await;
    let _ = caller.get(&format!("/canary-path/{token}")).await;
    let _ = cluster.console().with_token(&token).get("/api/manage/v1/keys/canary-path").await;
    Used { key, token, credential: cluster.demo("KEYSTILE_DEMO_SANDBOX_TOKEN"), connection }
}

/// From `span` up to the root.
fn ancestry<'a>(spans: &'a [Span], span: &'a Span) -> Vec<&'a Span> {
    let mut line = vec![span];
    while let Some(parent) = spans.iter().find(|span| span.id == line[line.len() - 1].parent) {
        line.push(parent);
    }
    line
}

fn shape<'a>(line: &[&'a Span]) -> Vec<(&'a str, &'a str)> {
    line.iter().map(|span| (span.name.as_str(), span.kind.as_str())).collect()
}

#[tokio::test]
async fn one_trace_of_one_run_shows_gateway_verification_vault_and_the_outside_call() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let mut cluster = Cluster::start_set(&[("KEYSTILE_TELEMETRY__OTLP_ENDPOINT", &endpoint)]).await;
    let used = used(&cluster).await;
    // What is left is sent before the process ends.
    assert!(cluster.stop().await.success());

    let spans = collector.spans();
    let entry = "POST /api/v1/components/{componentId}/run";
    let runs: Vec<_> = spans.iter().filter(|span| span.name == entry).collect();
    assert_eq!(runs.len(), 3, "{:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    for run in runs {
        assert_eq!((run.kind.as_str(), run.parent.as_str()), ("Server", ""));
        let trace: Vec<_> = spans.iter().filter(|span| span.trace == run.trace).collect();
        let verified: Vec<_> = trace
            .iter()
            .filter(|span| (span.name.as_str(), span.kind.as_str()) == (VERIFY, "Server"))
            .collect();
        assert_eq!(verified.len(), 1, "{trace:#?}");
        let verification = ancestry(&spans, verified[0]);
        assert_eq!(
            shape(&verification),
            [(VERIFY, "Server"), (VERIFY, "Client"), (entry, "Server")]
        );
        let outside = trace.iter().find(|span| !span.attribute("server.address").is_empty());
        let outside = outside.expect("the outside call");
        assert_eq!(
            shape(&ancestry(&spans, outside)),
            [
                (outside.attribute("http.request.method"), "Client"),
                ("vault.run_action", "Internal"),
                (RUN, "Server"),
                (RUN, "Client"),
                (entry, "Server"),
            ]
        );
        assert!(!outside.attribute("server.port").is_empty());
        assert!(!outside.attribute("http.response.status_code").is_empty());
    }

    let everything = collector.everything();
    assert!(everything.contains(entry), "what is searched is there");
    for secret in [&used.token[used.token.len() - 51..], &used.credential, "canary"] {
        assert!(!everything.contains(secret), "a secret or a path is in a trace");
    }
}

/// The sandbox is an app like any other: its own span shows what it was told.
#[tokio::test]
async fn an_outside_app_is_told_the_trace_that_the_caller_began() {
    const BEGUN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    // Apart, the sandbox is somebody else's app, and exports nothing here.
    let settings = [("KEYSTILE_TELEMETRY__OTLP_ENDPOINT", &*endpoint)];
    let mut cluster = Cluster::newcomer_set(&settings).await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (_, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let caller = cluster.gateway().with_token(&token);
    let headers = [("traceparent", BEGUN), ("tracestate", "a=b"), ("baggage", "c=d")];
    let body = json!({"inputs": {"message": "hello"}});
    let sent = caller.try_send(reqwest::Method::POST, ECHO, &headers, Some(&body)).await;
    let _ = sent.expect("an answer").expect(200);
    assert!(cluster.stop().await.success());

    let spans = collector.spans();
    let of_trace = |span: &&Span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736";
    let trace: Vec<_> = spans.iter().filter(of_trace).collect();
    let app = trace.iter().find(|span| span.name == "POST /echo").expect("of the app");
    let ancestry = ancestry(&spans, app);
    let expected = [("POST /echo", "Server"), ("POST", "Client"), ("vault.run_action", "Internal")];
    assert_eq!(shape(&ancestry)[..3], expected);
    assert_eq!(ancestry[ancestry.len() - 1].parent, "00f067aa0ba902b7");
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_exported_whatever_else_the_environment_says() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let mut cluster = Cluster::start_set(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
    ])
    .await;
    let _ = used(&cluster).await;
    assert!(cluster.stop().await.success());
    assert_eq!(collector.spans(), []);
}

/// Prometheus' text format: the value of each series, by name and labels.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let (bare, labels) = name.split_once('{').unwrap_or((name, "}"));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        assert!(!bare.is_empty() && bare.bytes().all(plain) && labels.ends_with('}'), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(found.insert(name, value).is_none(), "twice: {line}");
    }
    found
}

#[tokio::test]
async fn metrics_are_at_their_own_listener_and_name_nobody() {
    let cluster = Cluster::start().await;
    let used = used(&cluster).await;
    for edge in [cluster.gateway(), cluster.console()] {
        let _ = edge.get("/metrics").await.expect(404);
        let _ = edge.with_token(&used.token).get("/metrics").await.expect(404);
    }
    let (mut said, mut sums) = (String::new(), BTreeMap::<String, f64>::new());
    for telemetry in cluster.telemetry() {
        let scrape = telemetry.get("/metrics").await.expect(200);
        assert_eq!(scrape.headers["content-type"], "text/plain; version=0.0.4");
        let found = series(&scrape.text);
        assert!(found["process_start_time_seconds"] > 1.6e9);
        assert!(found.keys().any(|name| name.starts_with("keystile_build_info{version=")));
        for (name, value) in found {
            *sums.entry(name.to_owned()).or_default() += value;
        }
        said.push_str(&scrape.text);
    }
    let sum = |name: &str| *sums.get(name).unwrap_or_else(|| panic!("{name} is not in\n{said}"));
    let route = "method=\"POST\",role=\"gateway\",route=\"/api/v1/components/{componentId}/run\"";
    let ran = format!("keystile_http_server_requests_total{{{route},status=\"200\"}}");
    let timed = format!("keystile_http_server_request_duration_seconds_count{{{route}}}");
    let called = "keystile_grpc_server_requests_total{code=\"OK\",method=\"RunAction\",\
                  peer=\"gateway\",service=\"keystile.vault.v1.ActionService\"}";
    assert_eq!((sum(&ran), sum(&timed), sum(called)), (2.0, 3.0, 3.0), "{said}");
    assert!(sum("keystile_verification_lookups_total") >= 1.0);
    for role in ["verification", "vault", "triggers"] {
        assert!(sum(&format!("keystile_lease_left_seconds{{role=\"{role}\"}}")) > 0.0, "{said}");
    }
    let id = |text: &str| text.rsplit('_').next().expect("an id").to_owned();
    for name in [
        used.token[used.token.len() - 51..].to_owned(),
        used.credential,
        id(&used.key),
        id(&used.connection),
        "canary".to_owned(),
        "ks_".to_owned(),
    ] {
        assert!(!said.contains(&name), "{name} is in\n{said}");
    }
}
