//! One registration at work: renewals and pushed rows, applied in one order by one task.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    stream::BoxStream,
};
use keystile_contract::Failure;
use keystile_domain::{
    Backoff, ErrorKind, Tick,
    log::{Applied, History, LogRow, Nonce},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, warn};

use crate::{
    Apply, Shared,
    client::{Client, Pushed, Tail},
    line::Line,
    terms::LeaseTerms,
};

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// Issuance does not know the incarnation, or no longer.
    #[error("issuance has retired this incarnation")]
    Retired,
    /// The log is of another history.
    #[error("the log is of another history")]
    History,
    /// A row does not continue what was applied.
    #[error("the log does not continue what was applied")]
    Chain,
}

type Renewal = Fuse<BoxFuture<'static, (Tick, Result<Tail, Failure>)>>;
type Rows = BoxStream<'static, Result<Pushed, Failure>>;

pub(crate) struct Session {
    shared: Arc<Shared>,
    apply: Arc<dyn Apply>,
    line: Arc<Line>,
    client: Client,
    /// The mark of the row applied last.
    nonce: Nonce,
    terms: LeaseTerms,
    /// What is applied, for the stream to acknowledge.
    told: watch::Sender<Applied>,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        apply: Arc<dyn Apply>,
        line: Arc<Line>,
        client: Client,
        nonce: Nonce,
        terms: LeaseTerms,
    ) -> Self {
        let (told, _) = watch::channel(Applied { position: line.applied(), nonce });
        Self { shared, apply, line, client, nonce, terms, told }
    }

    /// Renews and applies until the session is broken; nothing else ends it. Pauses between
    /// streams by `streams`, and tells `sessions` once there is a lease.
    pub(crate) async fn run(mut self, sessions: &mut Backoff, mut streams: Backoff) -> Broken {
        let mut renewals = interval(self.terms.renew_interval);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal: Renewal = Fuse::terminated();
        let mut rows = self.watch(Duration::ZERO);
        loop {
            tokio::select! {
                _ = renewals.tick(), if renewal.is_terminated() => renewal = self.renew(),
                (sent_at, answer) = &mut renewal => {
                    match self.renewed(sent_at, answer).await {
                        Ok(true) => sessions.reset(),
                        Ok(false) => {}
                        Err(broken) => return broken,
                    }
                }
                pushed = rows.next() => match self.pushed(pushed).await {
                    Ok(true) => streams.reset(),
                    Ok(false) => rows = self.watch(streams.pause()),
                    Err(broken) => return broken,
                },
            }
        }
    }

    fn applied(&self) -> Applied {
        Applied { position: self.line.applied(), nonce: self.nonce }
    }

    fn renew(&self) -> Renewal {
        let mut client = self.client.clone();
        let applied = self.applied();
        // An answer later than this would extend the lease by less than the next one does.
        let timeout = self.terms.lease_ttl.saturating_sub(self.terms.renew_interval);
        // Noted before it is sent: from then on, a cut that this renewal does not hear of waits.
        let sent_at = self.shared.clock.tick();
        async move { (sent_at, client.renew(applied, timeout).await) }.boxed().fuse()
    }

    /// Applies the tail, then extends the lease. False: not this time.
    async fn renewed(
        &mut self,
        sent_at: Tick,
        answer: Result<Tail, Failure>,
    ) -> Result<bool, Broken> {
        let tail = match answer {
            Ok(tail) => tail,
            Err(failure) => {
                debug!(%failure, reason = %failure.reason, "a renewal failed");
                return broken_by(&failure).map_or(Ok(false), Err);
            }
        };
        if !self.accept(&tail.head.history, &tail.rows).await? {
            return Ok(false);
        }
        // Rows may have been pushed since, so what is applied can be ahead of this head.
        let applied = self.line.applied().seq;
        if applied < tail.head.seq || (applied == tail.head.seq && self.nonce != tail.head_nonce) {
            return Err(Broken::Chain);
        }
        self.line.lease.extend(sent_at, self.terms.lease_ttl);
        self.shared.ready.send_replace(true);
        Ok(true)
    }

    fn watch(&self, after: Duration) -> Rows {
        let (client, applied) = (self.client.clone(), self.told.subscribe());
        tokio::time::sleep(after)
            .then(|()| client.watch(applied))
            .into_stream()
            .try_flatten()
            .boxed()
    }

    /// Handles what the stream gave. False asks for a new stream.
    async fn pushed(&mut self, pushed: Option<Result<Pushed, Failure>>) -> Result<bool, Broken> {
        match pushed {
            Some(Ok(pushed)) => self.accept(&pushed.history, &pushed.rows).await,
            Some(Err(failure)) => {
                debug!(%failure, reason = %failure.reason, "the stream of the log failed");
                broken_by(&failure).map_or(Ok(false), Err)
            }
            None => Ok(false),
        }
    }

    /// Installs, applies and only then acknowledges what is new of `rows`. False: they could not
    /// be applied now, and are expected again.
    async fn accept(&mut self, history: &History, rows: &[LogRow]) -> Result<bool, Broken> {
        if *history != self.line.history() {
            return Err(Broken::History);
        }
        let rows = continuation(self.line.applied().seq, self.nonce, rows)?;
        let Some(last) = rows.last() else { return Ok(true) };
        self.line.tombstones.install(rows, self.shared.clock.tick());
        if let Err(cause) = self.apply.apply(history, rows).await {
            warn!(%cause, "rows of the log are left unacknowledged");
            return Ok(false);
        }
        self.nonce = last.nonce;
        self.line.advance(last.seq);
        self.told.send_replace(self.applied());
        Ok(true)
    }
}

/// Does this refusal end the session?
fn broken_by(failure: &Failure) -> Option<Broken> {
    match (failure.kind, failure.reason.as_str()) {
        (ErrorKind::Stale, "history_mismatch") => Some(Broken::History),
        (ErrorKind::Stale, _) => Some(Broken::Retired),
        _ => None,
    }
}

/// What of `rows` is not applied yet, if each row names the one before it.
fn continuation(applied: u64, nonce: Nonce, rows: &[LogRow]) -> Result<&[LogRow], Broken> {
    let known = rows.iter().take_while(|row| row.seq <= applied).count();
    let (known, new) = rows.split_at(known);
    if known.last().is_some_and(|row| row.seq == applied && row.nonce != nonce) {
        return Err(Broken::Chain);
    }
    let mut before = (applied, nonce);
    for row in new {
        if row.seq != before.0 + 1 || row.previous != before.1 {
            return Err(Broken::Chain);
        }
        before = (row.seq, row.nonce);
    }
    Ok(new)
}

/// The rows of a registration lead from where it begins to the head.
pub(crate) fn check_registered(begin: &Applied, tail: &Tail) -> Result<(), Broken> {
    let Applied { position, nonce } = *begin;
    if position.history != tail.head.history {
        return Err(Broken::History);
    }
    let rows = continuation(position.seq, nonce, &tail.rows)?;
    let end = rows.last().map_or((position.seq, nonce), |row| (row.seq, row.nonce));
    if rows.len() == tail.rows.len() && end == (tail.head.seq, tail.head_nonce) {
        Ok(())
    } else {
        Err(Broken::Chain)
    }
}
