//! The store in memory: the same promises without a database, for tests.

mod keys;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keystile_domain::{ConnectionId, OperationId, Scope, TeamId};
use time::OffsetDateTime;

use super::{
    AuditPage, ConnectionPage, EntryOf, Error, OutboxRow, SealedCredential, Settled, Store,
};
use crate::{
    audit::Entry,
    connection::{Connection, Health},
};

struct Row {
    connection: Connection,
    /// Gone when deleted.
    credential: Option<SealedCredential>,
    deletion: Option<OperationId>,
}

#[derive(Default)]
struct Tables {
    keys: keys::Tables,
    connections: Vec<Row>,
    outbox: Vec<OutboxRow>,
    audit: Vec<Entry>,
}

impl Tables {
    fn row(&mut self, team: TeamId, id: ConnectionId) -> Option<&mut Row> {
        self.connections
            .iter_mut()
            .find(|row| (row.connection.team, row.connection.id) == (team, id))
    }

    fn live(&mut self, team: TeamId, id: ConnectionId) -> Option<&mut Row> {
        self.row(team, id).filter(|row| row.deletion.is_none())
    }
}

/// Rows behind one lock: a step is atomic because it holds the lock to its end.
#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<Tables>);

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn page<T>(items: impl Iterator<Item = T>, limit: u64) -> Vec<T> {
    items.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert_connection(
        &self,
        connection: &Connection,
        credential: &SealedCredential,
        entry: &Entry,
    ) -> Result<(), Error> {
        let mut tables = self.tables();
        if tables.connections.iter().any(|row| row.connection.id == connection.id) {
            return Err(Error::UniqueViolation);
        }
        tables.keys.hold(&credential.bytes)?;
        let (connection, credential) = (connection.clone(), Some(credential.clone()));
        tables.connections.push(Row { connection, credential, deletion: None });
        tables.audit.push(entry.clone());
        Ok(())
    }

    async fn find_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
    ) -> Result<Option<(Connection, SealedCredential)>, Error> {
        let mut tables = self.tables();
        Ok(tables
            .live(team, id)
            .and_then(|row| Some((row.connection.clone(), row.credential.clone()?))))
    }

    async fn list_connections(
        &self,
        team: TeamId,
        asked: &ConnectionPage,
    ) -> Result<Vec<Connection>, Error> {
        let tables = self.tables();
        let mut found: Vec<_> = tables
            .connections
            .iter()
            .filter(|row| row.deletion.is_none())
            .map(|row| row.connection.clone())
            .filter(|connection| connection.team == team)
            .filter(|connection| asked.app.as_ref().is_none_or(|app| connection.app == *app))
            .filter(|connection| asked.before.is_none_or(|before| connection.id < before))
            .collect();
        found.sort_by_key(|connection| std::cmp::Reverse(connection.id));
        Ok(page(found.into_iter(), asked.limit))
    }

    async fn set_health(
        &self,
        team: TeamId,
        id: ConnectionId,
        health: &Health,
        entry: EntryOf<'_>,
    ) -> Result<Option<Connection>, Error> {
        let mut tables = self.tables();
        let Some(row) = tables.live(team, id) else { return Ok(None) };
        let entry = entry(&row.connection);
        row.connection.health = health.clone();
        let after = row.connection.clone();
        tables.audit.push(entry);
        Ok(Some(after))
    }

    async fn touch(&self, team: TeamId, id: ConnectionId, at: OffsetDateTime) -> Result<(), Error> {
        if let Some(row) = self.tables().live(team, id) {
            row.connection.last_used_at = row.connection.last_used_at.max(Some(at));
        }
        Ok(())
    }

    async fn delete_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
        operation: OperationId,
        _at: OffsetDateTime,
        entry: EntryOf<'_>,
    ) -> Result<Option<OutboxRow>, Error> {
        let mut tables = self.tables();
        let Some(row) = tables.row(team, id) else { return Ok(None) };
        if let Some(first) = row.deletion {
            return Ok(tables.outbox.iter().find(|known| known.operation == first).cloned());
        }
        let entry = entry(&row.connection);
        row.deletion = Some(operation);
        row.credential = None;
        let cut = OutboxRow {
            number: i64::try_from(tables.outbox.len()).unwrap_or(i64::MAX) + 1,
            operation,
            team,
            scope: Scope::Connection(id),
            usable: false,
            settled: None,
        };
        tables.outbox.push(cut.clone());
        tables.audit.push(entry);
        Ok(Some(cut))
    }

    async fn outbox_due(&self, scope: Option<Scope>, limit: u64) -> Result<Vec<OutboxRow>, Error> {
        let tables = self.tables();
        let mut seen = Vec::new();
        let due = tables.outbox.iter().filter(|row| row.settled.is_none()).filter(|row| {
            let first = !seen.contains(&row.scope);
            seen.push(row.scope);
            first && scope.is_none_or(|scope| row.scope == scope)
        });
        Ok(page(due.cloned(), limit))
    }

    async fn outbox_row(&self, operation: OperationId) -> Result<Option<OutboxRow>, Error> {
        Ok(self.tables().outbox.iter().find(|row| row.operation == operation).cloned())
    }

    async fn settle(
        &self,
        operation: OperationId,
        answer: Settled,
        _at: OffsetDateTime,
    ) -> Result<(), Error> {
        let mut tables = self.tables();
        let found = tables.outbox.iter_mut().find(|row| row.operation == operation);
        if let Some(row) = found {
            row.settled.get_or_insert(answer);
        }
        Ok(())
    }

    async fn list_audit(
        &self,
        team: TeamId,
        asked: &AuditPage,
    ) -> Result<Vec<(Entry, u64)>, Error> {
        let tables = self.tables();
        let mut found: Vec<_> = tables
            .audit
            .iter()
            .filter(|entry| entry.team == team)
            .filter(|entry| asked.subject.as_ref().is_none_or(|id| entry.subject == *id))
            .filter(|entry| asked.before.is_none_or(|before| entry.id < before))
            .cloned()
            .collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        let seq_of = |entry: &Entry| {
            let mut rows = tables.outbox.iter();
            let carried = rows.find(|row| Some(row.operation) == entry.operation);
            let receipt = carried.and_then(|row| row.settled?.receipt);
            receipt.map_or(0, |receipt| receipt.seq)
        };
        Ok(page(found.into_iter().map(|entry| (entry.clone(), seq_of(&entry))), asked.limit))
    }
}
