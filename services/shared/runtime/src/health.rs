//! Is this process alive, and can it do its work?

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use futures::{FutureExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the roles of this process say of themselves. Clones share it.
#[derive(Clone)]
pub struct Readiness {
    checks: Arc<RwLock<Vec<(String, Check)>>>,
    starting: Arc<AtomicBool>,
    stopping: CancellationToken,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

/// The state of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleReport {
    /// The role's name.
    pub role: String,
    /// Does it do its work?
    pub ready: bool,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// The state of the process: ready when every role is and nothing stops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Should it get work?
    pub ready: bool,
    /// Is it still waiting for what it needs to start, such as a database?
    #[serde(default)]
    pub starting: bool,
    /// Is it on its way out?
    pub stopping: bool,
    /// Each role.
    pub roles: Vec<RoleReport>,
}

impl Readiness {
    /// A process without roles, that is not ready once `stopping` is cancelled, so that balancers
    /// look elsewhere while it drains.
    #[must_use]
    pub fn new(stopping: CancellationToken) -> Self {
        Self { checks: Arc::default(), starting: Arc::default(), stopping }
    }

    /// The same while it starts: alive, and not ready before [`Readiness::started`].
    #[must_use]
    pub fn starting(stopping: CancellationToken) -> Self {
        let starting = Arc::new(AtomicBool::new(true));
        Self { checks: Arc::default(), starting, stopping }
    }

    /// From now on it is as ready as its roles are.
    pub fn started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// Adds a role. `check` is asked for every report and must answer quickly; its error says in a
    /// few words what is missing, for whoever can reach the listener.
    pub fn add<F, C>(&self, role: impl Into<String>, check: C)
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Check = Arc::new(move || check().boxed());
        self.checks.write().unwrap_or_else(PoisonError::into_inner).push((role.into(), check));
    }

    /// Asks every role.
    pub async fn report(&self) -> Report {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = checks.into_iter().map(|(role, check)| async move {
            let missing = check().await.err();
            RoleReport { role, ready: missing.is_none(), missing }
        });
        let roles = futures::future::join_all(asked).await;
        let starting = self.starting.load(Ordering::Relaxed);
        let stopping = self.stopping.is_cancelled();
        let ready = !starting && !stopping && roles.iter().all(|role| role.ready);
        Report { ready, starting, stopping, roles }
    }
}

/// `GET /healthz`: 200 while the process answers at all. `GET /readyz`: 200 or 503, with the
/// [`Report`] as JSON.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route("/healthz", get(|| async { "ok" })).route(
        "/readyz",
        get(move || async move {
            let report = readiness.report().await;
            let unready = StatusCode::SERVICE_UNAVAILABLE;
            let status = if report.ready { StatusCode::OK } else { unready };
            (status, Json(report)).into_response()
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_role_that_waits_makes_the_process_wait_and_says_for_what() {
        let readiness = Readiness::new(CancellationToken::new());
        readiness.add("gateway", || async { Ok(()) });
        assert!(readiness.report().await.ready);
        readiness.add("vault", || async { Err("no lease yet".to_owned()) });
        let report = readiness.report().await;
        assert!(!report.ready);
        assert_eq!(report.roles[1].missing.as_deref(), Some("no lease yet"));
    }

    #[tokio::test]
    async fn a_process_that_starts_is_not_ready() {
        let readiness = Readiness::starting(CancellationToken::new());
        let report = readiness.report().await;
        assert!(!report.ready && report.starting);
        readiness.started();
        assert!(readiness.report().await.ready);
    }

    #[tokio::test]
    async fn a_process_that_drains_is_not_ready() {
        let stopping = CancellationToken::new();
        let readiness = Readiness::new(stopping.clone());
        stopping.cancel();
        let report = readiness.report().await;
        assert!(!report.ready && report.stopping);
    }
}
