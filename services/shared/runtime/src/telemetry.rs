//! What the process tells its operator: log lines, traces, metrics.

mod context;
mod export;
pub mod metrics;
mod traced;

use std::{io::IsTerminal as _, net::SocketAddr};

use keystile_domain::InvalidSetting;
use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};
use url::Url;

pub use context::outside;
pub(crate) use context::{Incoming, exporting, local_or};
pub use metrics::Metrics;
pub use traced::traced;

/// Crates that write headers, frames or statements when they are asked for detail. They stay at
/// these levels whatever the filter says, so that no `Authorization`, query or credential can
/// reach the log by turning it up.
const CAPPED: [&str; 13] = [
    "h2=info",
    "hyper=info",
    "hyper_util=info",
    "reqwest=info",
    "tower=info",
    "tower_http=info",
    "tonic=info",
    "rustls=info",
    "hickory_resolver=info",
    "hickory_proto=info",
    "sqlx=warn",
    "sea_orm=warn",
    "opentelemetry=info",
];

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The `telemetry` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/healthz`, `/readyz` and `/metrics` answer: never at the edge.
    pub listen: SocketAddr,
    /// The least severe level that is logged, also by target: `info,keystile_vault=debug`. Absent:
    /// `info`, and `warn` in `keystile dev`.
    pub log: Option<String>,
    /// How log lines look.
    pub format: Format,
    /// Where traces go, OTLP over gRPC: `http://collector:4317`. Absent: nowhere, and nothing of
    /// `OpenTelemetry` runs.
    pub otlp_endpoint: Option<String>,
    /// The part of the traces that begin here or outside that are kept, from 0 to 1. One that comes
    /// from another role or an identified caller is kept if it was kept there.
    pub sample_ratio: f64,
    /// The name of this process among others like it. Absent: a random one each start.
    pub service_instance: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            log: None,
            format: Format::Auto,
            otlp_endpoint: None,
            sample_ratio: 1.0,
            service_instance: None,
        }
    }
}

impl Config {
    /// Can these settings work?
    ///
    /// # Errors
    /// [`InvalidSetting`] names the first field that cannot be.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, rule| Err(InvalidSetting { section: "telemetry", field, rule });
        if self.otlp_endpoint.as_deref().is_some_and(|endpoint| !is_endpoint(endpoint)) {
            return invalid("otlp_endpoint", "must be http://host:port or https://host:port");
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return invalid("sample_ratio", "must be from 0 to 1");
        }
        let plain = |text: &str| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.service_instance.as_deref().is_some_and(|instance| !plain(instance)) {
            return invalid("service_instance", "must be 1 to 128 visible ASCII characters");
        }
        Ok(())
    }
}

/// A place, without anything that could be a credential.
fn is_endpoint(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && (url.username(), url.password()) == ("", None)
            && (url.path(), url.query(), url.fragment()) == ("/", None, None)
    })
}

/// Telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("telemetry.log is not a filter such as info or info,keystile_vault=debug: {0}")]
    Filter(#[from] ParseError),
    /// Something else in this process took the global subscriber.
    #[error("the log is already set up: {0}")]
    Taken(#[from] TryInitError),
    /// A setting that cannot be.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The exporter of traces cannot be made.
    #[error("traces cannot be exported: {0}")]
    Export(String),
}

/// Holds what telemetry runs on. Dropped last, it sends the traces that are left, and waits for
/// that a few seconds at most.
#[derive(Debug)]
#[must_use = "traces end where it is dropped"]
pub struct Guard {
    _traces: Option<export::Exporter>,
}

/// Sends log lines to standard error, and panics with them: where, and the text if it is a
/// literal, since a formatted one may quote anything. `level` is for a configuration that names none.
/// With an endpoint for traces, a process that serves `roles` exports them; other commands, with
/// `None`, never do.
///
/// # Errors
/// [`Error::Filter`] for a filter that does not parse; [`Error::Taken`] the second time;
/// [`Error::Setting`] and [`Error::Export`] for an endpoint that cannot be.
///
/// # Panics
/// Outside a tokio runtime, if traces are exported.
pub fn init(config: &Config, level: &str, roles: Option<&[String]>) -> Result<Guard, Error> {
    config.validate()?;
    let filter = filter(config.log.as_deref().unwrap_or(level))?;
    let json = match config.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Human => false,
        Format::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    } else {
        lines.compact().boxed()
    };
    let registry = tracing_subscriber::registry();
    let traces = if let (Some(endpoint), Some(roles)) = (&config.otlp_endpoint, roles) {
        let exporter = export::Exporter::new(config, endpoint, roles)?;
        registry.with(lines.with_filter(filter)).with(exporter.layer()).try_init()?;
        context::begin(config.sample_ratio);
        Some(exporter)
    } else {
        registry.with(lines).with(filter).try_init()?;
        None
    };
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&'static str>();
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            text = text.copied().unwrap_or("withheld: a formatted message may quote a secret"),
            "panic"
        );
    }));
    Ok(Guard { _traces: traces })
}

fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::builder().parse(text)?;
    CAPPED.iter().try_fold(filter, |filter, cap| Ok(filter.add_directive(cap.parse()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_cannot_lift_the_caps() {
        let filter = filter("trace,h2=trace,keystile_vault=debug").expect("parses").to_string();
        assert!(filter.contains("h2=info") && !filter.contains("h2=trace"), "{filter}");
        assert!(filter.contains("keystile_vault=debug"), "{filter}");
    }

    #[test]
    fn a_setting_that_cannot_be_is_refused_by_name() {
        let refused = |config: Config| config.validate().err().map(|invalid| invalid.field);
        let endpoint =
            |text: &str| Config { otlp_endpoint: Some(text.to_owned()), ..Config::default() };
        for text in ["http://127.0.0.1:4317", "https://collector.example.com", "http://[::1]:4317/"]
        {
            assert_eq!(refused(endpoint(text)), None, "{text}");
        }
        for text in [
            "",
            "collector:4317",
            "grpc://a:4317",
            "http://user:pass@a",
            "http://a/v1",
            "http://a?b",
        ] {
            assert_eq!(refused(endpoint(text)), Some("otlp_endpoint"), "{text}");
        }
        for sample_ratio in [-0.1, 1.1, f64::NAN] {
            let config = Config { sample_ratio, ..Config::default() };
            assert_eq!(refused(config), Some("sample_ratio"));
        }
        for instance in ["", "a b", "a\nb"] {
            let service_instance = Some(instance.to_owned());
            let config = Config { service_instance, ..Config::default() };
            assert_eq!(refused(config), Some("service_instance"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(filter("keystile=loud").is_err());
    }
}
