//! `keystile dev`: everything in one process, with something to try.

mod demo;
mod reset;
mod screen;

use std::time::Duration;

use keystile_domain::Role;
use keystile_runtime::lifecycle::Signals;

pub use demo::Demo;

use crate::{
    Settings,
    wire::{self, Running, Sandbox},
};

/// How long a start may take before it is a failure.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts, prints where things are and what to try, and runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// As [`start`].
pub async fn run(settings: &Settings, reset: bool) -> anyhow::Result<()> {
    if reset {
        reset::run(&settings.data_dir)?;
    }
    let mut signals = Signals::listen()?;
    let started = tokio::select! {
        started = start(settings) => started,
        () = signals.next() => return Ok(()),
    };
    let (running, _demo) = started?;
    let at = running.addresses();
    let at = screen::At {
        gateway: at.of(Role::Gateway)?,
        console: at.of(Role::Console)?,
        verification: at.of(Role::Verification)?,
        telemetry: at.telemetry,
    };
    screen::print(at, &settings.data_dir)?;
    running.run_until(&mut signals).await
}

/// Starts every role and the sandbox, and makes the demo team, its connection and its key unless
/// an earlier run has. Everything is ready when this returns.
///
/// # Errors
/// As [`wire::start`]; or the demo cannot be made.
pub async fn start(settings: &Settings) -> anyhow::Result<(Running, Demo)> {
    let running = wire::start(settings, &Role::ALL.into(), Sandbox::Run).await?;
    let prepared = async {
        running.ready(START_TIMEOUT).await?;
        demo::prepare(&running).await
    };
    match prepared.await {
        Ok(demo) => Ok((running, demo)),
        Err(error) => {
            running.stop().await;
            Err(error)
        }
    }
}
