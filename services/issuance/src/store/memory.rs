//! The rows in memory, for tests: a transaction works on a copy that replaces the whole.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use keystile_domain::{
    Grant, Incarnation, KeyId, OperationId, Scope, TeamId,
    facts::{KeyFacts, KeyStatus},
    log::{History, LogRow, Nonce, Receipt},
};
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

use super::{
    After, AuditQuery, AuditRecord, Epoch, FactsOf, FollowerRecord, Hearing, KeyQuery, KeyRecord,
    KeySort, Operation, Renewal, ScopeStatus, Store, TeamRecord, Tx, fold,
};
use crate::Error;

/// A store that ends with its process.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Mutex<State>>, broadcast::Sender<String>);

/// Texts that are kept for who hears slowly.
const TOLD: usize = 1_024;

#[derive(Debug, Clone)]
struct State {
    epoch: Epoch,
    log: Vec<(LogRow, OffsetDateTime)>,
    operations: Vec<Operation>,
    audit: Vec<AuditRecord>,
    teams: Vec<TeamRecord>,
    keys: Vec<KeyRecord>,
    scopes: Vec<ScopeStatus>,
    followers: Vec<FollowerRecord>,
}

impl MemoryStore {
    /// An empty store in `history`, settled, whose sequence 0 has `nonce`.
    #[must_use]
    pub fn new(history: History, nonce: Nonce) -> Self {
        let state = State {
            epoch: Epoch { history, head: 0, nonce, settled: history },
            log: Vec::new(),
            operations: Vec::new(),
            audit: Vec::new(),
            teams: Vec::new(),
            keys: Vec::new(),
            scopes: Vec::new(),
            followers: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)), broadcast::Sender::new(TOLD))
    }

    /// Goes on from an earlier copy in the same history, as a database whose files were put back.
    pub async fn put_back(&self, copy: &Self) {
        let earlier = copy.0.lock().await.clone();
        *self.0.lock().await = earlier;
    }

    /// Goes on in another history, as a restored database does.
    pub async fn fork(&self, history: History) {
        self.0.lock().await.epoch.history = history;
    }

    /// A store of its own with the rows as they are now, as a standby or a backup has them.
    pub async fn copy(&self) -> Self {
        let state = self.0.lock().await.clone();
        Self(Arc::new(Mutex::new(state)), broadcast::Sender::new(TOLD))
    }
}

fn counts(key: &KeyRecord, team: TeamId) -> bool {
    key.team == team && key.status != KeyStatus::Revoked
}

impl State {
    fn count_keys(&self, team: TeamId) -> u64 {
        self.keys.iter().filter(|key| counts(key, team)).count() as u64
    }

    fn key(&self, team: TeamId, id: KeyId) -> Option<KeyRecord> {
        self.keys.iter().find(|key| key.team == team && key.id == id).cloned()
    }

    fn usable(&self, team: TeamId, scope: Scope) -> Option<bool> {
        let of = |status: &&ScopeStatus| status.team == team && status.scope == scope;
        self.scopes.iter().find(of).map(|status| status.usable)
    }

    fn grant_usable(&self, team: TeamId, grant: &Grant) -> bool {
        let connection = grant.connection().map(Scope::Connection);
        let integration = grant.integration().map(Scope::Integration);
        connection
            .into_iter()
            .chain(integration)
            .all(|scope| self.usable(team, scope) != Some(false))
    }

    fn operation(&self, team: TeamId, id: OperationId) -> Option<Operation> {
        self.operations.iter().find(|made| made.team == team && made.id == id).copied()
    }

    fn rows_after(&self, after: u64) -> Vec<LogRow> {
        self.log.iter().map(|(row, _)| *row).filter(|row| row.seq > after).collect()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, Error> {
        let shared = Arc::clone(&self.0).lock_owned().await;
        Ok(Box::new(MemoryTx { draft: shared.clone(), shared }))
    }

    async fn epoch(&self) -> Result<Epoch, Error> {
        Ok(self.0.lock().await.epoch)
    }

    async fn team(&self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        Ok(self.0.lock().await.teams.iter().find(|team| team.id == id).cloned())
    }

    async fn count_keys(&self, team: TeamId) -> Result<u64, Error> {
        Ok(self.0.lock().await.count_keys(team))
    }

    async fn key(&self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        Ok(self.0.lock().await.key(team, id))
    }

    async fn list_keys(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, Error> {
        let state = self.0.lock().await;
        let matches = |key: &&KeyRecord| {
            key.team == query.team
                && key.deleted_at.is_none()
                && query.environment.is_none_or(|environment| key.environment == environment)
                && query.status.is_none_or(|status| key.status == status)
                && query
                    .app
                    .as_ref()
                    .is_none_or(|app| key.grants.iter().any(|grant| grant.app() == app))
                && query
                    .name_contains
                    .as_ref()
                    .is_none_or(|part| fold(key.name.as_str()).contains(part))
        };
        let mut keys: Vec<_> = state.keys.iter().filter(matches).cloned().collect();
        let by_name = |key: &KeyRecord| (fold(key.name.as_str()), key.id);
        let by_created = |key: &KeyRecord| (key.created_at, key.id);
        match query.sort {
            KeySort::CreatedAsc | KeySort::CreatedDesc => keys.sort_by_key(by_created),
            KeySort::NameAsc | KeySort::NameDesc => keys.sort_by_key(by_name),
        }
        let descending = matches!(query.sort, KeySort::CreatedDesc | KeySort::NameDesc);
        if descending {
            keys.reverse();
        }
        let beyond = |key: &KeyRecord| match &query.after {
            None => true,
            Some(After::Created(at, id)) if descending => by_created(key) < (*at, *id),
            Some(After::Created(at, id)) => by_created(key) > (*at, *id),
            Some(After::Name(name, id)) if descending => by_name(key) < (name.clone(), *id),
            Some(After::Name(name, id)) => by_name(key) > (name.clone(), *id),
        };
        keys.retain(beyond);
        keys.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(keys)
    }

    async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, Error> {
        let state = self.0.lock().await;
        let rows = state.audit.iter().rev().filter(|row| {
            row.team == query.team
                && query.before.is_none_or(|before| row.seq < before)
                && query.subject.as_ref().is_none_or(|subject| row.subject == *subject)
        });
        Ok(rows.take(usize::try_from(query.limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn facts(&self, of: FactsOf) -> Result<(Epoch, Option<KeyFacts>), Error> {
        let state = self.0.lock().await;
        let key = state.keys.iter().find(|key| match of {
            FactsOf::Kid(kid) => key.kid == kid,
            FactsOf::Key(id) => key.id == id,
        });
        let facts = key.and_then(|key| {
            let team = state.teams.iter().find(|team| team.id == key.team)?;
            Some(key.facts(team, |grant| state.grant_usable(key.team, grant)))
        });
        Ok((state.epoch, facts))
    }

    async fn keys_under_token_key(
        &self,
        version: u8,
        after: Option<KeyId>,
        limit: u64,
    ) -> Result<Vec<(TeamId, KeyId)>, Error> {
        let state = self.0.lock().await;
        let under = |key: &&KeyRecord| {
            key.status != KeyStatus::Revoked
                && after.is_none_or(|after| key.id > after)
                && key.secrets.iter().any(|secret| secret.token_key_version == version)
        };
        let mut keys: Vec<_> =
            state.keys.iter().filter(under).map(|key| (key.team, key.id)).collect();
        keys.sort_by_key(|(_, id)| *id);
        keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(keys)
    }

    async fn operation(&self, team: TeamId, id: OperationId) -> Result<Option<Operation>, Error> {
        Ok(self.0.lock().await.operation(team, id))
    }

    async fn followers(&self) -> Result<Vec<FollowerRecord>, Error> {
        Ok(self.0.lock().await.followers.clone())
    }

    async fn renewal(&self, id: Incarnation, after: u64) -> Result<Renewal, Error> {
        let state = self.0.lock().await;
        let live = state.followers.iter().find(|one| one.incarnation == id && !one.retiring);
        let live = live.map(|follower| follower.role);
        Ok(Renewal { epoch: state.epoch, live, rows: state.rows_after(after) })
    }

    async fn log_after(&self, after: u64, limit: u64) -> Result<(History, Vec<LogRow>), Error> {
        let state = self.0.lock().await;
        let mut rows = state.rows_after(after);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((state.epoch.history, rows))
    }

    async fn record_answered(&self, ids: &[Incarnation], at: OffsetDateTime) -> Result<(), Error> {
        let mut state = self.0.lock().await;
        for follower in &mut state.followers {
            if ids.contains(&follower.incarnation) {
                follower.answered_at = at;
            }
        }
        Ok(())
    }

    async fn record_receipt(&self, receipt: &Receipt) -> Result<(), Error> {
        let micros = u64::try_from(receipt.elapsed.as_micros()).unwrap_or(u64::MAX);
        let elapsed = Duration::from_micros(micros);
        for row in &mut self.0.lock().await.audit {
            if row.seq == receipt.seq && row.receipt.is_none() {
                row.receipt = Some(Receipt { elapsed, ..*receipt });
            }
        }
        Ok(())
    }

    async fn receipt(&self, seq: u64) -> Result<Option<Receipt>, Error> {
        let state = self.0.lock().await;
        Ok(state.audit.iter().find(|row| row.seq == seq).and_then(|row| row.receipt))
    }

    async fn settle(&self, history: History) -> Result<(), Error> {
        self.0.lock().await.epoch.settled = history;
        Ok(())
    }

    async fn tell(&self, text: &str) -> Result<(), Error> {
        // Nobody hears: nothing is lost that somebody waits for.
        let _ = self.1.send(text.to_owned());
        Ok(())
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, Error> {
        Ok(Box::new(self.1.subscribe()))
    }
}

struct MemoryTx {
    shared: OwnedMutexGuard<State>,
    draft: State,
}

#[async_trait]
impl Tx for MemoryTx {
    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        *self.shared = self.draft;
        Ok(())
    }

    async fn lock_epoch(&mut self) -> Result<Epoch, Error> {
        Ok(self.draft.epoch)
    }

    async fn append(&mut self, row: &LogRow, at: OffsetDateTime) -> Result<(), Error> {
        self.draft.epoch.head = row.seq;
        self.draft.epoch.nonce = row.nonce;
        self.draft.log.push((*row, at));
        Ok(())
    }

    async fn insert_operation(&mut self, operation: &Operation) -> Result<(), Error> {
        self.draft.operations.push(*operation);
        Ok(())
    }

    async fn operation(
        &mut self,
        team: TeamId,
        id: OperationId,
    ) -> Result<Option<Operation>, Error> {
        Ok(self.draft.operation(team, id))
    }

    async fn last_cut(&mut self, team: TeamId, scope: Scope) -> Result<Option<Operation>, Error> {
        let of = |made: &&Operation| made.cut && made.team == team && made.scope == scope;
        Ok(self.draft.operations.iter().rev().find(of).copied())
    }

    async fn insert_audit(&mut self, row: &AuditRecord) -> Result<(), Error> {
        self.draft.audit.push(row.clone());
        Ok(())
    }

    async fn team(&mut self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        Ok(self.draft.teams.iter().find(|team| team.id == id).cloned())
    }

    async fn insert_team(&mut self, team: &TeamRecord) -> Result<(), Error> {
        if self.draft.teams.iter().any(|other| other.id == team.id) {
            return Err(Error::TeamExists);
        }
        self.draft.teams.push(team.clone());
        Ok(())
    }

    async fn update_team(&mut self, team: &TeamRecord) -> Result<(), Error> {
        for stored in self.draft.teams.iter_mut().filter(|stored| stored.id == team.id) {
            stored.clone_from(team);
        }
        Ok(())
    }

    async fn count_keys(&mut self, team: TeamId) -> Result<u64, Error> {
        Ok(self.draft.count_keys(team))
    }

    async fn key(&mut self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        Ok(self.draft.key(team, id))
    }

    async fn insert_key(&mut self, key: &KeyRecord) -> Result<(), Error> {
        self.draft.keys.push(key.clone());
        Ok(())
    }

    async fn update_key(&mut self, before: &KeyRecord, after: &KeyRecord) -> Result<(), Error> {
        let same = |key: &&mut KeyRecord| key.id == before.id && key.team == before.team;
        let stored = self.draft.keys.iter_mut().find(same);
        let stored = stored.filter(|key| key.version == before.version);
        stored.ok_or(Error::ChangedMeanwhile)?.clone_from(after);
        Ok(())
    }

    async fn put_scope_status(&mut self, status: &ScopeStatus) -> Result<(), Error> {
        let ScopeStatus { team, scope, .. } = *status;
        self.draft.scopes.retain(|other| other.team != team || other.scope != scope);
        self.draft.scopes.push(*status);
        Ok(())
    }

    async fn scope_usable(&mut self, team: TeamId, scope: Scope) -> Result<Option<bool>, Error> {
        Ok(self.draft.usable(team, scope))
    }

    async fn followers(&mut self) -> Result<Vec<FollowerRecord>, Error> {
        Ok(self.draft.followers.clone())
    }

    async fn insert_follower(&mut self, follower: &FollowerRecord) -> Result<(), Error> {
        if self.draft.followers.iter().any(|one| one.incarnation == follower.incarnation) {
            return Err(Error::IncarnationExists);
        }
        self.draft.followers.push(*follower);
        Ok(())
    }

    async fn mark_retiring(&mut self, silent_since: OffsetDateTime) -> Result<(), Error> {
        for follower in &mut self.draft.followers {
            follower.retiring |= follower.answered_at < silent_since;
        }
        Ok(())
    }

    async fn remove_followers(&mut self, ids: &[Incarnation]) -> Result<(), Error> {
        self.draft.followers.retain(|follower| !ids.contains(&follower.incarnation));
        Ok(())
    }

    async fn floor(&mut self, at: OffsetDateTime) -> Result<u64, Error> {
        let before = self.draft.log.iter().filter(|(_, appended)| *appended < at);
        Ok(before.map(|(row, _)| row.seq).max().unwrap_or(0))
    }
}

#[async_trait]
impl Hearing for broadcast::Receiver<String> {
    async fn next(&mut self) -> Result<Option<String>, Error> {
        match self.recv().await {
            Ok(text) => Ok(Some(text)),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(None),
            Err(broadcast::error::RecvError::Closed) => Err(Error::Defect("the store is gone")),
        }
    }
}
