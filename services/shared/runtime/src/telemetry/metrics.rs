//! Counts and durations for Prometheus, asked for at the telemetry listener.
//!
//! The `prometheus` crate alone: metrics are pulled, exist without a collector, and a recorded call
//! costs an atomic addition behind a map look-up, where `OpenTelemetry`'s instruments would build a
//! list of attributes each time and need a second pipeline to end in the same text.
//!
//! Labels are roles, methods, routes and statuses: few, and none of them is an id, a path or a
//! secret.

mod observed;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::IntoResponse,
    routing::get,
};
use http::{Method, header};
use keystile_contract::Identity;
use keystile_domain::{Clock as _, Role, Tick};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TEXT_FORMAT, TextEncoder,
};
use tonic::Code;

use self::observed::{Kind, Observed};
use crate::{SystemClock, grpc};

/// Seconds: from a check in memory to the longest request of the gateway.
const BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// A metric has a name, a label or a help text that cannot be, or is there already.
#[derive(Debug, thiserror::Error)]
#[error("not a metric: {0}")]
pub struct InvalidMetric(#[from] prometheus::Error);

/// The metrics of a process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// What every process has: which build it is, when it started, what its servers answered.
    ///
    /// # Errors
    /// Never, unless a name in this file is wrong.
    pub fn new() -> Result<Self, InvalidMetric> {
        let count = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)
        };
        let inner = Inner {
            registry: Registry::new(),
            calls: count(
                "keystile_grpc_server_requests_total",
                "gRPC calls answered, by the status with which the answer began.",
                &["service", "method", "code", "peer"],
            )?,
            call_seconds: seconds(
                "keystile_grpc_server_request_duration_seconds",
                "Time until the answer to a gRPC call began.",
                &["service", "method"],
            )?,
            requests: count(
                "keystile_http_server_requests_total",
                "HTTP requests answered.",
                &["role", "method", "route", "status"],
            )?,
            request_seconds: seconds(
                "keystile_http_server_request_duration_seconds",
                "Time until the answer to an HTTP request began.",
                &["role", "method", "route"],
            )?,
        };
        inner.registry.register(Box::new(inner.calls.clone()))?;
        inner.registry.register(Box::new(inner.call_seconds.clone()))?;
        inner.registry.register(Box::new(inner.requests.clone()))?;
        inner.registry.register(Box::new(inner.request_seconds.clone()))?;
        let metrics = Self(Arc::new(inner));
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        metrics.gauge("keystile_build_info", "Which build this is.", &version, || 1.0)?;
        let now = SystemClock.now();
        let started = time::Duration::seconds(now.unix_timestamp()).as_seconds_f64()
            + f64::from(now.millisecond()) / 1e3;
        let help = "When the process started, in seconds since 1970.";
        metrics.gauge("process_start_time_seconds", help, &[], move || started)?;
        Ok(metrics)
    }

    /// Adds a count that is kept elsewhere; `read` is asked for every scrape and must answer
    /// quickly.
    ///
    /// # Errors
    /// [`InvalidMetric`], also for a second one of that name and those labels.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), InvalidMetric> {
        // Counts are exact up to 2^53.
        #[expect(clippy::cast_precision_loss, reason = "the text format has floats only")]
        let read = move || read() as f64;
        self.observe(Observed::new(Kind::Counter, name, help, labels, Box::new(read))?)
    }

    /// Adds a value that is known elsewhere, likewise.
    ///
    /// # Errors
    /// [`InvalidMetric`], also for a second one of that name and those labels.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), InvalidMetric> {
        self.observe(Observed::new(Kind::Gauge, name, help, labels, Box::new(read))?)
    }

    fn observe(&self, observed: Observed) -> Result<(), InvalidMetric> {
        Ok(self.0.registry.register(Box::new(observed))?)
    }

    /// Counts and times what `router`, of a role's listener, answers.
    pub fn measure(&self, role: Role, router: Router) -> Router {
        let metrics = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let metrics = metrics.clone();
            async move {
                let method = method(request.method());
                let route = request.extensions().get::<MatchedPath>().cloned();
                let began = SystemClock.tick();
                let response = next.run(request).await;
                let route = route.as_ref().map_or("", MatchedPath::as_str);
                let (role, status) = (role.as_str(), response.status());
                let seconds = since(began).as_secs_f64();
                let labels = [role, method, route, status.as_str()];
                metrics.0.requests.with_label_values(&labels).inc();
                metrics.0.request_seconds.with_label_values(&labels[..3]).observe(seconds);
                response
            }
        }))
    }

    /// `GET /metrics`, in Prometheus' text format.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            get(move || {
                let text = metrics.text();
                async move { ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response() }
            }),
        )
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut text) {
            tracing::error!(%error, "a metric cannot be written");
        }
        text
    }

    /// Begins to time a call to the gRPC method at `path`, which must be one that `peer` may call,
    /// or empty.
    pub(crate) fn call(&self, path: &str, peer: Option<&Identity>) -> Call {
        let peer = match peer {
            Some(Identity::Role(role)) => role.as_str(),
            Some(Identity::Caller(_)) => "caller",
            None => "",
        };
        let metrics = self.clone();
        Call { metrics, path: path.to_owned(), peer, began: SystemClock.tick(), code: None }
    }
}

/// A call that is being answered. Dropped without [`Call::end`], the caller has gone.
pub(crate) struct Call {
    metrics: Metrics,
    path: String,
    peer: &'static str,
    began: Tick,
    code: Option<Code>,
}

impl Call {
    pub(crate) fn end(mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = name(self.code.unwrap_or(Code::Cancelled));
        let (service, method) = grpc::method(&self.path);
        let Inner { calls, call_seconds, .. } = &*self.metrics.0;
        calls.with_label_values(&[service, method, code, self.peer]).inc();
        let seconds = since(self.began).as_secs_f64();
        call_seconds.with_label_values(&[service, method]).observe(seconds);
    }
}

fn since(began: Tick) -> Duration {
    SystemClock.tick().since(began)
}

/// A method that is known, for a client may send any word; as `OpenTelemetry` has it.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// As the gRPC specification writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFY: &str = "/keystile.verification.v1.VerificationService/Verify";

    #[test]
    fn a_call_is_counted_once_by_how_it_ended() {
        let metrics = Metrics::new().expect("valid");
        metrics.call(VERIFY, Some(&Identity::Role(Role::Gateway))).end(Code::Ok);
        drop(metrics.call(VERIFY, Some(&Identity::Caller("canary".to_owned()))));
        let text = metrics.text();
        let labels = |code: &str, peer: &str| {
            format!(
                "keystile_grpc_server_requests_total{{code=\"{code}\",method=\"Verify\",\
                 peer=\"{peer}\",service=\"keystile.verification.v1.VerificationService\"}} 1"
            )
        };
        assert!(text.contains(&labels("OK", "gateway")), "{text}");
        assert!(text.contains(&labels("CANCELLED", "caller")), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn what_is_kept_elsewhere_is_read_at_each_scrape() {
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

        let metrics = Metrics::new().expect("valid");
        let kept = Arc::new(AtomicU64::new(3));
        let read = Arc::clone(&kept);
        metrics
            .counter("things_total", "Things.", &[("role", "vault")], move || read.load(Relaxed))
            .expect("valid");
        assert!(metrics.text().contains("things_total{role=\"vault\"} 3"));
        kept.store(4, Relaxed);
        assert!(metrics.text().contains("things_total{role=\"vault\"} 4"));
        let again = metrics.counter("things_total", "Things.", &[("role", "vault")], || 0);
        assert!(again.is_err(), "the same name and labels");
        let other = metrics.counter("things_total", "Things.", &[("role", "triggers")], || 0);
        assert!(other.is_ok(), "other labels");
        assert_eq!(metrics.text().matches("# TYPE things_total counter").count(), 1);
    }
}
