//! Registers, keeps the session going, and begins anew when it cannot go on.

use std::sync::Arc;

use keystile_contract::Failure;
use keystile_domain::{Backoff, Incarnation, Position, log::Applied};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    ApplyError, Deps, Settings, Shared,
    client::{Client, Registered},
    line::Line,
    session::{self, Broken, Session},
};

/// The task behind a [`crate::Follower`]. Without it there is no lease.
pub struct Driver {
    settings: Settings,
    deps: Deps,
    shared: Arc<Shared>,
}

#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("registering: {0}")]
    Register(#[from] Failure),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Driver {
    pub(crate) fn new(settings: Settings, deps: Deps, shared: Arc<Shared>) -> Self {
        Self { settings, deps, shared }
    }

    /// Follows until `stop`: registers, renews, watches; connects again with growing pauses;
    /// registers a new incarnation when issuance no longer knows this one or the log does not
    /// continue what was applied. A lease that is held when it stops runs out by itself.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&self) {
        let mut backoff = self.backoff();
        let mut resume = true;
        loop {
            match self.begin(resume).await {
                Ok(session) => {
                    let broken = session.run(&mut backoff, self.backoff()).await;
                    // The lease goes with the line: nothing that was kept is used from here on.
                    self.shared.line.store(None);
                    resume = broken == Broken::Retired;
                    warn!(role = %self.deps.role, cause = %broken, "following the log anew");
                }
                Err(cause) => warn!(role = %self.deps.role, %cause, "cannot follow the log"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    fn backoff(&self) -> Backoff {
        let (min, max) = (self.settings.backoff_min, self.settings.backoff_max);
        Backoff::new(min, max, Arc::clone(&self.deps.entropy))
    }

    /// Registers a new incarnation each time: an answer that was lost leaves the old one's fate
    /// unknown, and one that nobody renews is retired by issuance.
    async fn begin(&self, resume: bool) -> Result<Session, BeginError> {
        let resume_from = if resume { self.deps.apply.resume_from().await? } else { None };
        let incarnation = Incarnation::generate(self.deps.clock.now(), &*self.deps.entropy);
        let mut client = Client::new(self.deps.issuance.clone(), incarnation);
        let Registered { tail, floor, resumed, terms } =
            client.register(self.deps.role, resume_from).await?;
        let begin = if let Some(point) = resume_from.filter(|_| resumed) {
            point
        } else {
            let position = Position { history: tail.head.history, seq: floor };
            let nonce = tail.rows.first().map_or(tail.head_nonce, |row| row.previous);
            let begin = Applied { position, nonce };
            self.deps.apply.reset(&begin).await?;
            begin
        };
        session::check_registered(&begin, &tail)?;
        let begin = begin.position;
        let line = Arc::new(Line::new(&begin, &self.settings));
        line.tombstones.install(&tail.rows, self.deps.clock.tick());
        if !tail.rows.is_empty() {
            self.deps.apply.apply(&begin.history, &tail.rows).await?;
        }
        line.advance(tail.head.seq);
        self.shared.line.store(Some(Arc::clone(&line)));
        info!(
            role = %self.deps.role, %incarnation, history = %begin.history, floor = begin.seq,
            head = tail.head.seq, "registered as a follower"
        );
        Ok(Session::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.deps.apply),
            line,
            client,
            tail.head_nonce,
            terms,
        ))
    }
}
