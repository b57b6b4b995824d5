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

use crate::{
    Error, Service,
    barrier::Waiting,
    store::{AuditRecord, KeyRecord, Operation, TeamRecord, Tx},
};

/// How long a change that takes nothing away waits for acknowledgements.
const COURTESY: Duration = Duration::from_millis(250);

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
    waiting: Waiting,
}

impl Committed {
    /// Its row.
    pub(crate) const fn seq(&self) -> u64 {
        self.waiting.position.seq
    }
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
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        self.barrier.observe(&epoch);
        self.barrier.forget_lost(&epoch.position());
        let position = |seq| Position { history: epoch.history, seq };
        if let Some(made) = tx.operation(ask.team, ask.operation).await? {
            let differs = ask.request.zip(made.request).is_some_and(|(now, then)| now != then);
            if differs || !change.is_repeat_of(&made) {
                return Err(Error::OperationReused);
            }
            let after = change.repeat(&mut *tx, &made).await?;
            found_for_good(tx).await?;
            return self.resumed(Some(made), ask.operation, position(made.seq), after).await;
        }
        let at = self.now();
        let effect = match change.apply(&mut *tx, at).await? {
            Applied::Changed(effect) => effect,
            Applied::Unchanged(after) => {
                let cut = tx.last_cut(ask.team, change.scope()).await?;
                found_for_good(tx).await?;
                let (id, seq) = cut.map_or((ask.operation, 0), |cut| (cut.id, cut.seq));
                return self.resumed(cut, id, position(seq), after).await;
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
        self.announce(row.seq);
        self.news.head(row.seq);
        Ok(Committed {
            operation: Some(operation),
            id: operation.id,
            after: effect.result,
            waiting: Waiting { position: position(row.seq), followers, since },
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

    /// A change that was committed earlier, to be waited for again.
    async fn resumed(
        &self,
        operation: Option<Operation>,
        id: OperationId,
        position: Position,
        after: After,
    ) -> Result<Committed, Error> {
        let followers = self.store.followers_of(position.seq).await?;
        let since = self.barrier.committed_before(&position);
        let waiting = Waiting { position, followers, since };
        Ok(Committed { operation, id, after, waiting })
    }

    /// Runs the barrier of a change: to its end for a cut, for a moment otherwise.
    pub(crate) async fn settle(&self, committed: &Committed, deadline: Tick) -> Outcome {
        let operation = committed.id;
        if committed.operation.is_some_and(|made| made.cut) {
            let receipt = self.barrier.wait(&committed.waiting, deadline).await;
            if let Some(receipt) = &receipt {
                self.record_receipt(&[receipt.seq], receipt).await;
            }
            return Outcome { operation, receipt, pending: receipt.is_none() };
        }
        let courtesy = deadline.min(self.clock.tick() + COURTESY);
        self.barrier.wait(&committed.waiting, courtesy).await;
        Outcome { operation, receipt: None, pending: false }
    }

    /// Adds the receipt to the trail. The cut holds whether or not that succeeds.
    pub(crate) async fn record_receipt(&self, seqs: &[u64], receipt: &Receipt) {
        if let Err(error) = self.store.record_receipt(seqs, receipt).await {
            tracing::warn!(%error, seq = receipt.seq, "the trail lacks the receipt of a cut");
        }
    }

    /// Runs the barrier of everything that is committed by now, under the name of `operation`.
    pub(crate) async fn settle_head(
        &self,
        operation: OperationId,
        deadline: Tick,
    ) -> Result<Outcome, Error> {
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        self.barrier.observe(&epoch);
        found_for_good(tx).await?;
        let position = epoch.position();
        let waiting = Waiting {
            position,
            followers: self.store.followers_of(position.seq).await?,
            since: self.barrier.committed_before(&position),
        };
        let receipt = self.barrier.wait(&waiting, deadline).await;
        Ok(Outcome { operation, receipt, pending: receipt.is_none() })
    }

    /// Runs the barrier of a stored cut to its end.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the team made no such change.
    pub async fn get_cut(
        &self,
        team: TeamId,
        operation: OperationId,
        deadline: Tick,
    ) -> Result<Outcome, Error> {
        let mut tx = self.store.begin().await?;
        let epoch = tx.lock_epoch().await?;
        self.barrier.observe(&epoch);
        let made = tx.operation(team, operation).await?.ok_or(Error::NotFound("change"))?;
        found_for_good(tx).await?;
        let position = Position { history: epoch.history, seq: made.seq };
        let committed = self.resumed(Some(made), made.id, position, After::Scope).await?;
        Ok(self.settle(&committed, deadline).await)
    }
}

/// Makes sure that what a transaction found under the epoch's lock cannot be lost any more. Its
/// commit may be one that nobody heard of, which a failover loses; this one comes after it in the
/// same log and is not durable without it.
async fn found_for_good(tx: Box<dyn Tx>) -> Result<(), Error> {
    tx.commit().await
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
