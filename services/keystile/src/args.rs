//! The command line: its root, and the commands that run on the host.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use keystile_runtime::config::{self, Flag};

use crate::{Settings, certs, cli, vault};

/// Scoped API keys, self-hosted: one gateway, strict revocation, credentials that no caller sees.
///
/// Without a command, `keystile dev`.
#[derive(Debug, Parser)]
#[command(name = "keystile", version, max_term_width = 100)]
pub struct Args {
    /// How the process is configured.
    #[command(flatten)]
    pub host: Host,
    /// Where `dev` listens when no command is named.
    #[command(flatten)]
    pub listen: Listen,
    /// How resource commands reach the console.
    #[command(flatten)]
    pub connection: cli::Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything here with a sandbox app, a demo team, a connection and a key
    Dev {
        /// Start over: delete what earlier runs stored in the data directory
        #[arg(long)]
        reset: bool,
        /// Where it listens.
        #[command(flatten)]
        listen: Listen,
    },
    /// Run roles for real
    Serve {
        /// Which roles, separated by commas; all of them without
        #[arg(long, value_delimiter = ',', value_name = "ROLES")]
        roles: Vec<String>,
        /// Where they listen.
        #[command(flatten)]
        listen: Listen,
    },
    /// Bring the databases' schemas up to date
    Migrate {
        /// Of which roles, separated by commas; of all of them without
        #[arg(long, value_delimiter = ',', value_name = "ROLES")]
        roles: Vec<String>,
    },
    /// Make a team, its first owner and a management token
    Bootstrap {
        /// The owner's e-mail address
        #[arg(long)]
        email: String,
        /// The team's name
        #[arg(long)]
        team: String,
    },
    /// Certificates, for roles that run apart
    #[command(subcommand)]
    Certs(certs::Command),
    /// The installation's secrets
    #[command(subcommand)]
    Secrets(Secrets),
    /// The keys of the vault, on its host
    #[command(subcommand)]
    Vault(vault::Command),
    /// Is the process of this machine ready? Ends with 0 if it is
    Ready,
    /// Run the sandbox app as a process of its own
    Sandbox {
        /// Where it listens.
        #[command(flatten)]
        listen: Listen,
    },
    /// What can be done through the console
    #[command(flatten)]
    Resource(cli::Command),
}

/// What can be done with the installation's secrets.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Make them in the data directory, unless they are there
    Init,
    /// Print what one role needs of them, as a configuration
    Derive {
        /// The role
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// Write it to this file instead, readable by its owner only
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// While it runs
    #[command(flatten)]
    Running(cli::secrets::Command),
}

/// Configuration from the command line. It wins over the environment and the file.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Configuration")]
pub struct Host {
    /// A TOML file; without, the one that the variable `KEYSTILE_CONFIG` names
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Databases that are files, generated secrets [default: .keystile]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Where what serves listens. It wins over the environment and the file.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Listening")]
pub struct Listen {
    /// Where the REST edge listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub gateway_listen: Option<String>,
    /// Where the management API listens [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub console_listen: Option<String>,
    /// Where verification listens for gRPC [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR")]
    pub verification_listen: Option<String>,
    /// Where issuance listens, if roles run apart [default: 127.0.0.1:8091]
    #[arg(long, value_name = "ADDR")]
    pub issuance_listen: Option<String>,
    /// Where vault listens, if roles run apart [default: 127.0.0.1:8092]
    #[arg(long, value_name = "ADDR")]
    pub vault_listen: Option<String>,
    /// Where triggers listens, if roles run apart [default: 127.0.0.1:8093]
    #[arg(long, value_name = "ADDR")]
    pub triggers_listen: Option<String>,
    /// Where probes are answered [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    pub telemetry_listen: Option<String>,
    /// Where the sandbox app listens [default: any free port in `dev`, 127.0.0.1:8094 apart]
    #[arg(long, value_name = "ADDR")]
    pub sandbox_listen: Option<String>,
}

impl Args {
    /// The configuration: file, environment, flags.
    ///
    /// # Errors
    /// Names the field and where it came from.
    pub fn settings(&self) -> Result<Settings, config::Error> {
        let named = match &self.command {
            Some(
                Command::Dev { listen, .. }
                | Command::Serve { listen, .. }
                | Command::Sandbox { listen },
            ) => listen.flags(),
            _ => Vec::new(),
        };
        let data_dir = flag("--data-dir", "data_dir", self.host.data_dir.as_ref());
        // The later one of two wins.
        let flags: Vec<_> = self.listen.flags().into_iter().chain(named).chain(data_dir).collect();
        config::load(self.host.config.as_deref(), &flags)
    }
}

impl Listen {
    fn flags(&self) -> Vec<Flag> {
        let flags = [
            flag("--gateway-listen", "gateway.listen", self.gateway_listen.as_ref()),
            flag("--console-listen", "console.listen", self.console_listen.as_ref()),
            flag("--verification-listen", "verification.listen", self.verification_listen.as_ref()),
            flag("--issuance-listen", "issuance.listen", self.issuance_listen.as_ref()),
            flag("--vault-listen", "vault.listen", self.vault_listen.as_ref()),
            flag("--triggers-listen", "triggers.listen", self.triggers_listen.as_ref()),
            flag("--telemetry-listen", "telemetry.listen", self.telemetry_listen.as_ref()),
            flag("--sandbox-listen", "sandbox.listen", self.sandbox_listen.as_ref()),
        ];
        flags.into_iter().flatten().collect()
    }
}

fn flag(name: &'static str, field: &'static str, value: Option<&String>) -> Option<Flag> {
    Some(Flag { name, field, value: value?.clone() })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_command_is_dev() {
        let args = Args::try_parse_from(["keystile", "--data-dir", "x"]).expect("parses");
        assert!(args.command.is_none());
        assert_eq!(args.settings().expect("loads").data_dir, PathBuf::from("x"));
    }

    #[test]
    fn roles_are_separated_by_commas() {
        let args = Args::try_parse_from(["keystile", "serve", "--roles", "gateway,vault"]);
        let Some(Command::Serve { roles, .. }) = args.expect("parses").command else {
            panic!("serve");
        };
        assert_eq!(roles, ["gateway", "vault"]);
    }

    #[test]
    fn a_flag_that_is_no_address_is_named() {
        for line in [&["keystile", "serve"][..], &["keystile", "dev"], &["keystile"]] {
            let args = Args::try_parse_from(line.iter().chain(&["--gateway-listen", "8080"]));
            let said = args.expect("parses").settings().expect_err("refuses").to_string();
            assert!(said.starts_with("`gateway.listen` from --gateway-listen: "), "{said}");
        }
    }

    #[test]
    fn only_what_listens_takes_an_address_to_listen_on() {
        let line = ["keystile", "keys", "list", "--gateway-listen", "127.0.0.1:1"];
        assert!(Args::try_parse_from(line).is_err());
    }
}
