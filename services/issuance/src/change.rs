//! The one way in which anything changes.
//!
//! A transaction takes the epoch's lock, recognises a repeat by its operation id, applies the
//! change, appends its row of the log, its row of the trail and its operation, and reads the
//! followers that are registered. Then the barrier runs. There is no other way to a write of facts.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use keystile_domain::{
    Actor, AuditId, OperationId, Position, Scope, TeamId, Tick, entropy,
    log::{ChangeKind, LogRow, Nonce, Receipt},
    permission::Principal,
};
use keystile_sql::retried;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Error, Service,
    barrier::Waiting,
    store::{AuditRecord, Epoch, KeyRecord, Operation, TeamRecord, Tx},
};

/// How long a change that takes nothing away waits for acknowledgements.
const COURTESY: Duration = Duration::from_millis(250);
/// How long the answer of a cut that is in force waits for its row of the trail to say so.
const RECORD_PATIENCE: Duration = Duration::from_millis(50);

/// Who asks for a change, under which id, and how long they wait.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The team that the change belongs to.
    pub(crate) team: TeamId,
    /// Names the change; a repeat of it is recognised.
    pub(crate) operation: OperationId,
    /// Who, for the trail.
    pub(crate) origin: Origin,
    /// When the caller must have an answer.
    pub(crate) deadline: Tick,
    /// SHA-256 of the request, where a caller names the operation: one that comes again under its id
    /// and says something else is no repeat of it.
    pub(crate) request: Option<[u8; 32]>,
}

/// Who asks, as the trail keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) actor: String,
    pub(crate) label: String,
    pub(crate) request_id: String,
    pub(crate) source_ip: Option<IpAddr>,
}

impl From<&Actor> for Origin {
    fn from(actor: &Actor) -> Self {
        let who = match actor.principal {
            Principal::User(user) => user.to_string(),
            Principal::Token(token, _) => token.to_string(),
            Principal::Operator => "operator".to_owned(),
        };
        Self {
            actor: who,
            label: actor.label.clone(),
            request_id: actor.request_id.clone(),
            source_ip: actor.source_ip,
        }
    }
}

/// A change of facts.
#[async_trait]
pub(crate) trait Change: Send + Sync {
    /// What happens.
    fn kind(&self) -> ChangeKind;

    /// What it happens to.
    fn scope(&self) -> Scope;

    /// Is `made`, which has this change's operation id, this change?
    fn is_repeat_of(&self, made: &Operation) -> bool {
        made.kind == self.kind() && made.scope == self.scope()
    }

    /// Writes the rows that are the change's own. Runs again if the transaction collides.
    async fn apply(&self, tx: &mut dyn Tx, at: OffsetDateTime) -> Result<Applied, Error>;

    /// What a repeat of the change, which was made as `made`, returns.
    async fn repeat(&self, tx: &mut dyn Tx, made: &Operation) -> Result<After, Error>;
}

/// What came of a change.
pub(crate) enum Applied {
    /// It was made.
    Changed(Box<Effect>),
    /// Things were so already. If a cut made them so, its barrier is run again.
    Unchanged(After),
}

/// A change that was made.
pub(crate) struct Effect {
    /// Does it take access away?
    pub(crate) cut: bool,
    /// What the subject was called.
    pub(crate) label: String,
    /// What changed, before. Never a secret.
    pub(crate) before: Value,
    /// What changed, after. Never a secret.
    pub(crate) after: Value,
    /// What it returns.
    pub(crate) result: After,
}

/// The thing after the change.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Key(Box<KeyRecord>),
    Team(Box<TeamRecord>),
    Scope,
}

impl After {
    pub(crate) fn key(self) -> Result<KeyRecord, Error> {
        match self {
            Self::Key(key) => Ok(*key),
            Self::Team(_) | Self::Scope => Err(Error::Defect("a key's change returned no key")),
        }
    }

    pub(crate) fn team(self) -> Result<TeamRecord, Error> {
        match self {
            Self::Team(team) => Ok(*team),
            Self::Key(_) | Self::Scope => Err(Error::Defect("a team's change returned no team")),
        }
    }
}

/// A change that is in the log, whether its barrier is over or not.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The change; of a repeat, the first one.
    pub(crate) operation: Option<Operation>,
    /// The id to resume it by.
    pub(crate) id: OperationId,
    /// What it returns.
    pub(crate) after: After,
    pub(crate) waiting: Waiting,
    /// Its receipt, if its barrier is known to be over.
    pub(crate) receipt: Option<Receipt>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Names the change, to resume its barrier or recognise a repeat.
    pub operation: OperationId,
    /// Present if it was a cut and every follower is accounted for.
    pub receipt: Option<Receipt>,
    /// It is committed and its barrier was not over by the caller's deadline.
    pub pending: bool,
}

impl Service {
    /// Makes a change and runs its barrier.
    pub(crate) async fn carry_out(
        &self,
        ask: &Ask,
        change: &dyn Change,
    ) -> Result<(After, Outcome), Error> {
        let committed = self.commit(ask, change).await?;
        let outcome = self.settle(&committed, ask.deadline).await;
        Ok((committed.after, outcome))
    }

    /// Makes a change, durably, without its barrier.
    pub(crate) async fn commit(&self, ask: &Ask, change: &dyn Change) -> Result<Committed, Error> {
        retried(|| self.try_commit(ask, change)).await
    }

    async fn try_commit(&self, ask: &Ask, change: &dyn Change) -> Result<Committed, Error> {
        let (mut tx, epoch) = self.lock().await?;
        let position = |seq| Position { history: epoch.history, seq };
        if let Some(made) = tx.operation(ask.team, ask.operation).await? {
            let differs = ask.request.zip(made.request).is_some_and(|(now, then)| now != then);
            if differs || !change.is_repeat_of(&made) {
                return Err(Error::OperationReused);
            }
            let after = change.repeat(&mut *tx, &made).await?;
            let waiting = self.found(tx, position(made.seq)).await?;
            let receipt = self.recorded(made.seq).await?;
            let (operation, id) = (Some(made), ask.operation);
            return Ok(Committed { operation, id, after, waiting, receipt });
        }
        let at = self.now();
        let effect = match change.apply(&mut *tx, at).await? {
            Applied::Changed(effect) => effect,
            Applied::Unchanged(after) => {
                let cut = tx.last_cut(ask.team, change.scope()).await?;
                let (id, seq) = cut.map_or((ask.operation, 0), |cut| (cut.id, cut.seq));
                let waiting = self.found(tx, position(seq)).await?;
                let receipt = self.recorded(seq).await?;
                return Ok(Committed { operation: cut, id, after, waiting, receipt });
            }
        };
        let row = LogRow {
            seq: epoch.head + 1,
            nonce: Nonce(entropy::bytes(&*self.entropy)),
            previous: epoch.nonce,
            scope: change.scope(),
            kind: change.kind(),
            cut: effect.cut,
            operation: ask.operation,
        };
        let operation = Operation {
            team: ask.team,
            id: ask.operation,
            seq: row.seq,
            kind: row.kind,
            scope: row.scope,
            cut: row.cut,
            request: ask.request,
        };
        tx.append(&row, at).await?;
        tx.insert_operation(&operation).await?;
        tx.insert_audit(&self.audit_row(ask, &row, &effect, at)).await?;
        let followers = tx.followers().await?;
        tx.commit().await?;
        let since = self.barrier.committed(position(row.seq));
        self.announce(position(row.seq));
        self.news.head(position(row.seq));
        Ok(Committed {
            operation: Some(operation),
            id: operation.id,
            after: effect.result,
            waiting: Waiting { position: position(row.seq), followers, since },
            receipt: None,
        })
    }

    fn audit_row(
        &self,
        ask: &Ask,
        row: &LogRow,
        effect: &Effect,
        at: OffsetDateTime,
    ) -> AuditRecord {
        AuditRecord {
            id: AuditId::generate(at, &*self.entropy),
            seq: row.seq,
            team: ask.team,
            at,
            actor: ask.origin.actor.clone(),
            actor_label: ask.origin.label.clone(),
            action: row.kind,
            subject: subject(row.scope),
            subject_label: effect.label.clone(),
            before: effect.before.to_string(),
            after: effect.after.to_string(),
            request_id: ask.origin.request_id.clone(),
            source_ip: ask.origin.source_ip,
            receipt: None,
        }
    }

    /// Opens a transaction that holds the epoch's lock, and notes what that shows.
    async fn lock(&self) -> Result<(Box<dyn Tx>, Epoch), Error> {
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        self.barrier.observe(&epoch);
        self.barrier.forget_lost(&epoch.position());
        Ok((tx, epoch))
    }

    /// What a change waits for that a transaction found committed, under the epoch's lock.
    ///
    /// The commit that it found may be one that nobody heard of, which a failover loses. This one
    /// comes after it in the same log, and is not durable without it.
    async fn found(&self, mut tx: Box<dyn Tx>, position: Position) -> Result<Waiting, Error> {
        let mut followers = tx.followers().await?;
        followers.retain(|follower| follower.since < position.seq);
        tx.commit().await?;
        let since = self.barrier.committed_before(&position);
        Ok(Waiting { position, followers, since })
    }

    /// The receipt that the trail has of a cut: its barrier is over, and so the commit before that
    /// was heard of. Not in a history that is not settled, where there may be leases that it did not
    /// wait for. Read in this order, so that what was restored in between is no answer.
    async fn recorded(&self, seq: u64) -> Result<Option<Receipt>, Error> {
        let receipt = self.store.receipt(seq).await?;
        let epoch = self.store.epoch().await?;
        Ok(receipt.filter(|_| epoch.settled == epoch.history))
    }

    /// Runs the barrier of a change: to its end for a cut, for a moment otherwise.
    pub(crate) async fn settle(&self, committed: &Committed, deadline: Tick) -> Outcome {
        let operation = committed.id;
        if committed.receipt.is_some() {
            return Outcome { operation, receipt: committed.receipt, pending: false };
        }
        let left = deadline.since(self.clock.tick());
        if committed.operation.is_some_and(|made| made.cut) {
            let (over, recorded) = self.see_through(&committed.waiting);
            let receipt = tokio::time::timeout(left, over).await.ok().and_then(Result::ok);
            if receipt.is_some() {
                // Whoever reads the trail next finds it there, unless the database is slow.
                let _ = tokio::time::timeout(RECORD_PATIENCE, recorded).await;
            }
            return Outcome { operation, receipt, pending: receipt.is_none() };
        }
        let barrier = self.barrier.wait(&committed.waiting);
        let _ = tokio::time::timeout(left.min(COURTESY), barrier).await;
        Outcome { operation, receipt: None, pending: false }
    }

    /// Runs the barrier of a cut to its end and adds the receipt to the trail, whether or not its
    /// caller stays. The cut holds even if the trail lacks it.
    pub(crate) fn see_through(
        &self,
        waiting: &Waiting,
    ) -> (oneshot::Receiver<Receipt>, JoinHandle<()>) {
        let (service, waiting) = (self.clone(), waiting.clone());
        let (over, receipt) = oneshot::channel();
        let recorded = tokio::spawn(async move {
            let receipt = service.barrier.wait(&waiting).await;
            // Its caller may have gone.
            let _ = over.send(receipt);
            if let Err(error) = service.store.record_receipt(&receipt).await {
                tracing::warn!(%error, seq = receipt.seq, "the trail lacks the receipt of a cut");
            }
        });
        (receipt, recorded)
    }

    /// Runs the barrier of everything that is committed by now, under the name of `operation`.
    pub(crate) async fn settle_head(
        &self,
        operation: OperationId,
        deadline: Tick,
    ) -> Result<Outcome, Error> {
        let waiting = retried(|| async {
            let (tx, epoch) = self.lock().await?;
            self.found(tx, epoch.position()).await
        });
        let waiting = waiting.await?;
        let left = deadline.since(self.clock.tick());
        let receipt = tokio::time::timeout(left, self.barrier.wait(&waiting)).await.ok();
        Ok(Outcome { operation, receipt, pending: receipt.is_none() })
    }

    /// The receipt of a stored cut, running its barrier to the end if there is none.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the team made no such change.
    pub async fn get_cut(
        &self,
        team: TeamId,
        operation: OperationId,
        deadline: Tick,
    ) -> Result<Outcome, Error> {
        // Before the lock, which only a change that there is may take.
        let made = self.store.operation(team, operation).await?;
        let made = made.ok_or(Error::NotFound("change"))?;
        if let Some(receipt) = self.recorded(made.seq).await? {
            return Ok(Outcome { operation, receipt: Some(receipt), pending: false });
        }
        let committed = retried(|| self.find(team, operation)).await?;
        Ok(self.settle(&committed, deadline).await)
    }

    async fn find(&self, team: TeamId, operation: OperationId) -> Result<Committed, Error> {
        let (mut tx, epoch) = self.lock().await?;
        let made = tx.operation(team, operation).await?.ok_or(Error::NotFound("change"))?;
        let position = Position { history: epoch.history, seq: made.seq };
        let waiting = self.found(tx, position).await?;
        let (operation, after) = (Some(made), After::Scope);
        Ok(Committed { operation, id: made.id, after, waiting, receipt: None })
    }
}

/// The prefixed id of what a change is about.
pub(crate) fn subject(scope: Scope) -> String {
    match scope {
        Scope::Key(id) => id.to_string(),
        Scope::Team(id) => id.to_string(),
        Scope::Integration(id) => id.to_string(),
        Scope::Connection(id) => id.to_string(),
    }
}
