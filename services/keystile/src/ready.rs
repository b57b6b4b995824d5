//! `keystile ready`: a probe for where no other HTTP client is at hand, such as in a container.

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;
use keystile_runtime::{health::Report, http::local};

use crate::{Settings, advice::Advice};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks this machine's process whether it is ready, and prints what it says.
///
/// # Errors
/// It is not, or nothing answers.
pub async fn run(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let at = local(settings.telemetry.listen);
    let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let asked = http.get(format!("http://{at}/readyz")).send().await;
    let answer = asked.map_err(|_| {
        let message = format!("nothing answers at {at}, which is telemetry.listen");
        Advice::new(message, "start keystile serve with the same configuration")
    })?;
    let report: Report = answer.json().await.context("what answers there is not keystile")?;
    let missing = report.roles.iter().filter_map(|role| role.missing.as_deref());
    let missing = missing.collect::<Vec<_>>().join("; ");
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else if report.ready {
        writeln!(out, "ready")?;
    }
    if !report.ready {
        let why = match (report.stopping, report.starting) {
            (true, _) => "it stops",
            (false, true) => "it starts; its log says what it waits for",
            (false, false) => &missing,
        };
        anyhow::bail!("not ready: {why}");
    }
    Ok(())
}
