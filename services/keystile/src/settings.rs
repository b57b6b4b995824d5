//! The whole configuration: one section a role, and what the process itself needs.

use std::{net::SocketAddr, path::PathBuf};

use keystile_runtime::{mtls, secrets, telemetry};
use secrecy::SecretString;
use serde::Deserialize;

/// Everything that can be configured. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Databases that are files, generated secrets, and what `dev` remembers.
    pub data_dir: PathBuf,
    /// Teams, keys, the log.
    pub issuance: keystile_issuance::Config,
    /// Verdicts.
    pub verification: keystile_verification::Config,
    /// Connections and the outside call.
    pub vault: keystile_vault::Config,
    /// Events and deliveries.
    pub triggers: keystile_triggers::Config,
    /// The REST edge.
    pub gateway: keystile_gateway::Config,
    /// People.
    pub console: keystile_console::Config,
    /// Behind the verifiers' own memory.
    pub cache: keystile_cache::Config,
    /// Logs and probes.
    pub telemetry: telemetry::Config,
    /// What must stay secret.
    pub secrets: secrets::Config,
    /// Certificates, where roles run apart.
    pub tls: mtls::Config,
    /// The app to try things on.
    pub sandbox: Sandbox,
    /// How the resource commands reach a console.
    pub cli: Cli,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: ".keystile".into(),
            issuance: keystile_issuance::Config::default(),
            verification: keystile_verification::Config::default(),
            vault: keystile_vault::Config::default(),
            triggers: keystile_triggers::Config::default(),
            gateway: keystile_gateway::Config::default(),
            console: keystile_console::Config::default(),
            cache: keystile_cache::Config::default(),
            telemetry: telemetry::Config::default(),
            secrets: secrets::Config::default(),
            tls: mtls::Config::default(),
            sandbox: Sandbox::default(),
            cli: Cli::default(),
        }
    }
}

/// The `sandbox` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Where the sandbox of `dev` listens, or `keystile sandbox`; port 0 is any free one in `dev`,
    /// and 8094 otherwise.
    pub listen: SocketAddr,
    /// Where `keystile sandbox` is reached: the app `sandbox` is then in the catalog, and vault may
    /// dial that host and port. Absent: only `dev` has it.
    pub url: Option<String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), url: None }
    }
}

/// The `cli` section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cli {
    /// The console's address; absent: what `dev` noted in the data directory.
    pub server: Option<String>,
    /// A management token.
    pub token: Option<SecretString>,
    /// For operator commands.
    pub operator_token: Option<SecretString>,
}
