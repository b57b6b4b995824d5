//! What each role of this process does by itself, and what it says of itself.

use std::{future::Future, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use keystile_domain::Role;
use keystile_runtime::{Drain, health::Readiness};

use super::services::Services;

/// Adds a check of every role to `readiness`.
pub(super) fn watch(services: &Services, readiness: &Readiness) {
    if let Some(service) = services.issuance.clone() {
        readiness.add(Role::Issuance.as_str(), move || std::future::ready(service.ready()));
    }
    if let Some(service) = services.verification.clone() {
        readiness.add(Role::Verification.as_str(), move || std::future::ready(service.ready()));
    }
    if let Some(service) = services.vault.clone() {
        readiness.add(Role::Vault.as_str(), move || std::future::ready(service.ready()));
    }
    if let Some(service) = services.triggers.clone() {
        readiness.add(Role::Triggers.as_str(), move || std::future::ready(service.ready()));
    }
    if let Some(service) = services.gateway.clone() {
        readiness.add(Role::Gateway.as_str(), move || {
            let service = service.clone();
            async move { service.ready().await }
        });
    }
    if let Some(service) = services.console.clone() {
        readiness.add(Role::Console.as_str(), move || {
            let service = service.clone();
            async move { service.ready().await }
        });
    }
}

/// Runs every role's background work until `behind` begins to drain.
pub(super) fn run(services: &Services, edge: &Drain, behind: &Drain) {
    let spawn = |role, work| supervise(role, work, edge, behind);
    if let Some(service) = services.issuance.clone() {
        let stop = behind.stopping();
        spawn(Role::Issuance, async move { service.run(stop).await }.boxed());
    }
    if let Some(service) = services.verification.clone() {
        let stop = behind.stopping();
        spawn(Role::Verification, async move { service.run(stop).await }.boxed());
    }
    if let Some(service) = services.vault.clone() {
        let stop = behind.stopping();
        spawn(Role::Vault, async move { service.run(stop).await }.boxed());
    }
    if let Some(service) = services.triggers.clone() {
        let stop = behind.stopping();
        spawn(Role::Triggers, async move { service.run(stop).await }.boxed());
    }
    if let Some(service) = services.console.clone() {
        let stop = behind.stopping();
        spawn(Role::Console, async move { service.run(stop).await }.boxed());
    }
}

/// Runs a role's background work. A process whose role has ended is of no use: it stops, so that
/// whoever supervises it starts another.
fn supervise<F>(role: Role, work: F, edge: &Drain, behind: &Drain)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (edge, stopping) = (edge.clone(), behind.stopping());
    behind.spawn(async move {
        let panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
        if !stopping.is_cancelled() {
            tracing::error!(%role, panicked, "a role ended by itself: stopping");
            edge.begin();
        }
    });
}
