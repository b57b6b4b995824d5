//! Traces on their way to a collector, OTLP over gRPC.

use std::time::Duration;

use keystile_domain::{Role, entropy};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{Config, Error};
use crate::SystemEntropy;

/// How long one batch may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last batch may hold up the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What is exported: spans and events of Keystile's own crates. A list of what may pass, where the
/// log has a list of what may not: a crate that writes headers cannot reach a collector, and what
/// carries the spans there does not make new ones.
const EXPORTED: &str = "keystile";

/// Batches spans in a bounded queue and sends them from a thread of its own; what does not fit is
/// dropped and counted in the log. Nobody waits for a collector but the end of the process.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// An exporter to `endpoint` for a process that serves `roles`, all of them if none is named.
    pub(super) fn new(config: &Config, endpoint: &str, roles: &[String]) -> Result<Self, Error> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT);
        let exporter = if endpoint.starts_with("https:") {
            exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        } else {
            exporter
        };
        let exporter = exporter.build().map_err(|error| Error::Export(error.to_string()))?;
        let sampler =
            Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource(config, roles))
            .build();
        Ok(Self(provider))
    }

    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("keystile"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Parents are tracing's own spans.
            .with_context_activation(false)
            .with_filter(Targets::new().with_target(EXPORTED, Level::INFO))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

fn resource(config: &Config, roles: &[String]) -> Resource {
    let instance = config.service_instance.clone().unwrap_or_else(|| {
        format!("{:032x}", u128::from_be_bytes(entropy::bytes::<16>(&SystemEntropy)))
    });
    let roles = match roles {
        [] => Role::ALL.map(Role::as_str).join(","),
        named => named.join(","),
    };
    Resource::builder_empty()
        .with_service_name("keystile")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
            KeyValue::new("keystile.roles", roles),
        ])
        .build()
}
