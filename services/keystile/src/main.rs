//! The keystile binary: reads the command line, runs one command, says how it went.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use keystile::{
    advice,
    args::{Args, Command, Listen, Secrets},
    bootstrap, certs, cli, dev, migrate, ready, sandbox, secrets, serve, vault,
};
use keystile_runtime::{data_dir, memory, telemetry};

fn main() -> ExitCode {
    // Before any file is made: SQLite would let everyone read its own.
    data_dir::keep_new_files_private();
    // Whatever speaks TLS later finds it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Wrong usage ends here with 2 and its own words.
    let args = Args::parse();
    match try_main(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", advice::told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Apart from `main`, so that everything it holds is dropped, and with that flushed and unlocked,
/// before the process ends.
fn try_main(args: Args) -> anyhow::Result<()> {
    memory::keep_memory_private().context("the memory of this process cannot be kept private")?;
    let settings = args.settings()?;
    let command = args.command.unwrap_or(Command::Dev { reset: false, listen: Listen::default() });
    let level = match &command {
        Command::Serve { .. } | Command::Sandbox { .. } => "info",
        // People read what these print.
        Command::Dev { .. }
        | Command::Migrate { .. }
        | Command::Bootstrap { .. }
        | Command::Certs(_)
        | Command::Secrets(_)
        | Command::Vault(_)
        | Command::Ready
        | Command::Resource(_) => "warn",
    };
    let serves: Option<&[String]> = match &command {
        Command::Dev { .. } => Some(&[]),
        Command::Serve { roles, .. } => Some(roles),
        Command::Migrate { .. }
        | Command::Bootstrap { .. }
        | Command::Certs(_)
        | Command::Secrets(_)
        | Command::Vault(_)
        | Command::Ready
        | Command::Sandbox { .. }
        | Command::Resource(_) => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // What exports traces runs on the runtime, and sends the last of them before that ends.
    let _telemetry = {
        let _entered = runtime.enter();
        telemetry::init(&settings.telemetry, level, serves)?
    };
    runtime.block_on(async {
        match command {
            Command::Dev { reset, .. } => dev::run(&settings, reset).await,
            Command::Serve { roles, .. } => serve::run(&settings, &roles).await,
            Command::Migrate { roles } => migrate::run(&settings, &roles).await,
            Command::Bootstrap { email, team } => {
                bootstrap::run(&settings, &email, &team, args.connection.json).await
            }
            Command::Certs(command) => certs::run(command),
            Command::Secrets(Secrets::Init) => secrets::init(&settings),
            Command::Secrets(Secrets::Derive { role, out }) => {
                secrets::derive(&settings, &role, out.as_deref())
            }
            Command::Secrets(Secrets::Running(command)) => {
                cli::secrets::run(command, args.connection, &settings.data_dir).await
            }
            Command::Vault(command) => vault::run(command, &settings, args.connection.json).await,
            Command::Ready => ready::run(&settings, args.connection.json).await,
            Command::Sandbox { .. } => sandbox::run(&settings).await,
            Command::Resource(command) => {
                cli::run(command, args.connection, &settings.data_dir).await
            }
        }
    })
}
