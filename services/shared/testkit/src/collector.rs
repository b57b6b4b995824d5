//! A collector of traces on loopback that keeps what it gets: OTLP over gRPC.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Sent,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A span as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which trace it belongs to, in hexadecimal.
    pub trace: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// Its parent's id; empty at a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `Server`, `Client` or `Internal`.
    pub kind: String,
    /// Its attributes and those of its process, by name.
    pub attributes: Vec<(String, String)>,
}

impl Span {
    /// The value of an attribute; empty without it.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

/// A running collector. Dropped, it stops.
pub struct Collector {
    addr: SocketAddr,
    kept: Kept,
    task: JoinHandle<()>,
}

impl Collector {
    /// Starts on a free port.
    ///
    /// # Panics
    /// Without one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serving.await.expect("serves") });
        Self { addr, kept, task }
    }

    /// Where it listens, as an OTLP endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every span so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans = Vec::new();
        for resource in kept.iter().flat_map(|request| &request.resource_spans) {
            let process = resource.resource.as_ref().map_or(&[][..], |of| &of.attributes);
            for scope in &resource.scope_spans {
                spans.extend(scope.spans.iter().map(|sent| span(sent, process)));
            }
        }
        spans
    }

    /// All that was sent, spelled out: names, attributes, events, everything.
    #[must_use]
    pub fn everything(&self) -> String {
        format!("{:?}", self.kept.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn span(sent: &Sent, process: &[KeyValue]) -> Span {
    Span {
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        name: sent.name.clone(),
        kind: format!("{:?}", sent.kind()),
        attributes: sent.attributes.iter().chain(process).map(attribute).collect(),
    }
}

fn attribute(sent: &KeyValue) -> (String, String) {
    let value = match sent.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    (sent.key.clone(), value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
