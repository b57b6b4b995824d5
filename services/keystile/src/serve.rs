//! `keystile serve`: the roles for real.

use std::{collections::BTreeSet, time::Duration};

use keystile_domain::Role;
use keystile_runtime::lifecycle::Signals;

use crate::{
    Settings,
    advice::Advice,
    wire::{self, Sandbox},
};

/// After this long a process that is not ready says what it waits for, and goes on waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `roles` (all of them if none is named) until Ctrl-C or SIGTERM.
///
/// # Errors
/// An unknown role; a set that needs other processes; whatever keeps [`wire::start`] from starting.
pub async fn run(settings: &Settings, roles: &[String]) -> anyhow::Result<()> {
    complete(roles)?;
    let mut signals = Signals::listen()?;
    let started = async {
        let running = wire::start(settings, Sandbox::Leave).await?;
        let at = running.addresses();
        tracing::info!(
            gateway = %at.gateway,
            console = %at.console,
            verification = %at.verification,
            telemetry = %at.telemetry,
            "listening"
        );
        match running.ready(PATIENCE).await {
            Ok(()) => tracing::info!("ready"),
            Err(error) => tracing::warn!(%error, "listening, but not ready yet"),
        }
        anyhow::Ok(running)
    };
    let running = tokio::select! {
        started = started => started?,
        () = signals.next() => return Ok(()),
    };
    running.run_until(&mut signals).await
}

/// Is this every role? A process that runs fewer would have to reach the others.
fn complete(roles: &[String]) -> anyhow::Result<()> {
    let mut named = BTreeSet::new();
    for text in roles {
        let Some(role) = Role::parse(text.trim()) else {
            let known = Role::ALL.map(Role::as_str).join(", ");
            let message = format!("there is no role {text:?}");
            return Err(Advice::new(message, format!("the roles are {known}")).into());
        };
        named.insert(role);
    }
    let absent: Vec<_> = Role::ALL.into_iter().filter(|role| !named.contains(role)).collect();
    if named.is_empty() || absent.is_empty() {
        return Ok(());
    }
    let absent = absent.into_iter().map(Role::as_str).collect::<Vec<_>>().join(", ");
    let message = format!(
        "these roles would need {absent} in another process, which this version cannot reach"
    );
    Err(Advice::new(message, "run every role in this process: leave --roles out").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(roles: &[&str]) -> Vec<String> {
        roles.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_role_in_any_order_or_none_named_is_complete() {
        assert!(complete(&[]).is_ok());
        let mut all = Role::ALL.map(Role::as_str);
        all.reverse();
        assert!(complete(&names(&all)).is_ok());
    }

    #[test]
    fn a_part_or_an_unknown_role_is_refused_with_what_is_missing() {
        let refused = complete(&names(&["gateway", "verification"])).expect_err("a part");
        assert!(refused.to_string().contains("issuance, vault, triggers, console"), "{refused}");
        let refused = complete(&names(&["gatway"])).expect_err("unknown");
        assert!(refused.to_string().contains("gatway"), "{refused}");
    }
}
