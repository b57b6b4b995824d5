//! What the process tells its operator.

use std::{io::IsTerminal as _, net::SocketAddr};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

/// Crates that write headers, frames or statements when they are asked for detail. They stay at
/// these levels whatever the filter says, so that no `Authorization`, query or credential can
/// reach the log by turning it up.
const CAPPED: [&str; 12] = [
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/healthz` and `/readyz` answer for probes that should not pass the edge.
    pub listen: SocketAddr,
    /// The least severe level that is logged, also by target: `info,keystile_vault=debug`. Absent:
    /// `info`, and `warn` in `keystile dev`.
    pub log: Option<String>,
    /// How log lines look.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), log: None, format: Format::Auto }
    }
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
}

/// Sends log lines to standard error, and panics with them: where, and the text if it is a
/// literal, since a formatted one may quote anything. `level` is for a configuration that names none.
///
/// # Errors
/// [`Error::Filter`] for a filter that does not parse; [`Error::Taken`] the second time.
pub fn init(config: &Config, level: &str) -> Result<(), Error> {
    let filter = filter(config.log.as_deref().unwrap_or(level))?;
    let json = match config.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Human => false,
        Format::Json => true,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let installed = if json {
        tracing_subscriber::util::SubscriberInitExt::try_init(
            lines.json().flatten_event(true).with_span_list(false).finish(),
        )
    } else {
        tracing_subscriber::util::SubscriberInitExt::try_init(lines.compact().finish())
    };
    installed?;
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&'static str>();
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            text = text.copied().unwrap_or("withheld: a formatted message may quote a secret"),
            "panic"
        );
    }));
    Ok(())
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
    fn nonsense_is_refused() {
        assert!(filter("keystile=loud").is_err());
    }
}
