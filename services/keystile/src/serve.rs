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
/// An unknown role; whatever keeps [`wire::start`] from starting.
pub async fn run(settings: &Settings, roles: &[String]) -> anyhow::Result<()> {
    let here = named(roles)?;
    let mut signals = Signals::listen()?;
    let started = async {
        let running = wire::start(settings, &here, Sandbox::Leave).await?;
        for (role, at) in running.addresses().roles() {
            tracing::info!(%role, %at, "listening");
        }
        tracing::info!(at = %running.addresses().telemetry, "listening for probes");
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

/// The roles that a command line names; all of them if it names none.
///
/// # Errors
/// What is no role.
pub fn named(roles: &[String]) -> anyhow::Result<BTreeSet<Role>> {
    if roles.is_empty() {
        return Ok(Role::ALL.into());
    }
    roles.iter().map(|text| role(text)).collect()
}

/// One role that a command line names.
///
/// # Errors
/// It is none.
pub fn role(text: &str) -> anyhow::Result<Role> {
    Role::parse(text.trim()).ok_or_else(|| {
        let known = Role::ALL.map(Role::as_str).join(", ");
        Advice::new(format!("there is no role {text:?}"), format!("the roles are {known}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(roles: &[&str]) -> Vec<String> {
        roles.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn none_named_is_all_and_one_named_twice_is_one() {
        assert_eq!(named(&[]).expect("all").len(), Role::ALL.len());
        let twice = named(&names(&["vault", " vault"])).expect("one");
        assert_eq!(twice, BTreeSet::from([Role::Vault]));
    }

    #[test]
    fn what_is_no_role_is_told_with_those_that_are() {
        let refused = named(&names(&["gateway", "gatway"])).expect_err("unknown");
        let said = crate::advice::told(&refused);
        assert!(said.contains("\"gatway\"") && said.contains("verification"), "{said}");
    }
}
