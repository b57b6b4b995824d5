//! How long until `keystile dev` has every role ready, on a fresh and on an existing directory.
//!
//! `cargo bench --package keystile --bench startup`

use std::{io::Write as _, net::SocketAddr, path::Path, time::Duration};

use keystile::{Settings, dev};
use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;

const RUNS: usize = 10;

fn settings(data_dir: &Path) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings { data_dir: data_dir.to_owned(), ..Settings::default() };
    settings.gateway.listen = any;
    settings.console.listen = any;
    settings.verification.listen = any;
    settings.telemetry.listen = any;
    settings
}

async fn start(data_dir: &Path) -> anyhow::Result<Duration> {
    let began = SystemClock.tick();
    let (running, _demo) = dev::start(&settings(data_dir)).await?;
    let took = SystemClock.tick().since(began);
    running.stop().await;
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (mut fresh, mut existing) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let home = tempfile::tempdir()?;
        let data_dir = home.path().join("data");
        fresh.push(start(&data_dir).await?);
        existing.push(start(&data_dir).await?);
    }
    let (fresh, existing) = (median(fresh).as_millis(), median(existing).as_millis());
    writeln!(
        std::io::stdout(),
        "start-up, median of {RUNS}: {fresh} ms on a fresh directory (with demo team, connection \
         and key), {existing} ms on an existing one"
    )?;
    Ok(())
}
