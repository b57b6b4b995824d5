//! What the services keep count of, shown to Prometheus.

use std::time::Duration;

use keystile_domain::Role;
use keystile_runtime::telemetry::{Metrics, metrics::InvalidMetric};
use keystile_verification::Counts;

use super::services::Services;

/// Lets `metrics` read what `services` know.
pub(super) fn observe(services: &Services, metrics: &Metrics) -> Result<(), InvalidMetric> {
    if let Some(vault) = services.vault.clone() {
        lease(metrics, Role::Vault, move || vault.lease_left())?;
    }
    if let Some(triggers) = services.triggers.clone() {
        lease(metrics, Role::Triggers, move || triggers.lease_left())?;
    }
    let Some(verification) = services.verification.clone() else { return Ok(()) };
    let service = verification.clone();
    lease(metrics, Role::Verification, move || service.lease_left())?;
    let count = |name: &str, help: &str, of: fn(Counts) -> u64| {
        let verification = verification.clone();
        let read = move || of(verification.verifier().stats().counts());
        metrics.counter(&format!("keystile_verification_{name}_total"), help, &[], read)
    };
    let help = "Genuine tokens that no cache could answer for.";
    count("cache_misses", help, |counts| counts.cache_misses)?;
    count("lookups", "Questions to issuance.", |counts| counts.lookups)?;
    count("hashes", "Argon2 computations.", |counts| counts.hashes)
}

fn lease<L>(metrics: &Metrics, role: Role, left: L) -> Result<(), InvalidMetric>
where
    L: Fn() -> Duration + Send + Sync + 'static,
{
    let help = "For how long the lease of a follower is still current; 0 without one.";
    let labels = [("role", role.as_str())];
    metrics.gauge("keystile_lease_left_seconds", help, &labels, move || left().as_secs_f64())
}
