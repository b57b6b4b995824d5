//! The store in SQLite or Postgres.

mod apps;
mod flows;
mod idempotency;
mod integrations;
mod keys;
mod refresh;
mod rows;
mod sealed;

use async_trait::async_trait;
use keystile_domain::{ConnectionId, OperationId, Scope, TeamId};
use keystile_sql::{Database, Transaction, micros};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, Order,
    QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Alias, Expr, Query},
};
use time::OffsetDateTime;

use super::{
    AuditPage, ConnectionPage, EntryOf, Error, OutboxRow, SealedCredential, Settled, Store,
    entity::{audit, connection, outbox},
    migration::Migrator,
};
use crate::{
    audit::Entry,
    connection::{Connection, Health},
    integration::Status,
};

/// Rows in a SQL database. Each step that writes is one transaction.
pub(crate) struct SqlStore {
    database: Database,
}

impl SqlStore {
    pub(crate) const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Brings the schema up to date.
    pub(crate) async fn migrate(database: &Database) -> Result<(), Error> {
        database.migrate::<Migrator>().await
    }

    /// The migrations that are not applied yet.
    pub(crate) async fn pending(database: &Database) -> Result<Vec<String>, Error> {
        database.pending::<Migrator>().await
    }

    /// The team's connection with that id, deleted or not, locked against other writers.
    async fn locked(
        transaction: &Transaction,
        team: TeamId,
        id: ConnectionId,
    ) -> Result<Option<connection::Model>, Error> {
        Ok(connection::Entity::find_by_id(id.as_uuid())
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .lock_exclusive()
            .one(&**transaction)
            .await?)
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn insert_connection(
        &self,
        connection: &Connection,
        credential: &SealedCredential,
        entry: &Entry,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        if let Some(issued) = &connection.issued {
            let integration =
                Self::locked_integration(&transaction, connection.team, issued.integration).await?;
            let configured = Status::Configured.as_str();
            if integration.is_none_or(|row| row.deleted_at.is_some() || row.status != configured) {
                return Ok(false);
            }
        }
        keys::hold(&*transaction, &credential.bytes).await?;
        connection::Entity::insert(rows::new_connection(connection, credential)?)
            .exec_without_returning(&*transaction)
            .await?;
        append(&*transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn find_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
    ) -> Result<Option<(Connection, SealedCredential)>, Error> {
        let found = connection::Entity::find_by_id(id.as_uuid())
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .filter(connection::Column::DeletedAt.is_null())
            .one(self.database.read())
            .await?;
        let Some(mut row) = found else { return Ok(None) };
        let credential = rows::credential(&mut row)?;
        Ok(Some((rows::connection(row)?, credential)))
    }

    async fn find_connections(
        &self,
        team: TeamId,
        ids: &[ConnectionId],
    ) -> Result<Vec<Connection>, Error> {
        let found = connection::Entity::find()
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .filter(connection::Column::DeletedAt.is_null())
            .filter(connection::Column::Id.is_in(ids.iter().map(|id| id.as_uuid())))
            .all(self.database.read())
            .await?;
        found.into_iter().map(rows::connection).collect()
    }

    async fn list_connections(
        &self,
        team: TeamId,
        page: &ConnectionPage,
    ) -> Result<Vec<Connection>, Error> {
        let mut query = connection::Entity::find()
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .filter(connection::Column::DeletedAt.is_null());
        if let Some(app) = &page.app {
            query = query.filter(connection::Column::AppKey.eq(app.as_str()));
        }
        if let Some(before) = page.before {
            query = query.filter(connection::Column::Id.lt(before.as_uuid()));
        }
        let found = query
            .order_by_desc(connection::Column::Id)
            .limit(page.limit)
            .all(self.database.read())
            .await?;
        found.into_iter().map(rows::connection).collect()
    }

    async fn set_health(
        &self,
        team: TeamId,
        id: ConnectionId,
        health: &Health,
        entry: EntryOf<'_>,
    ) -> Result<Option<Connection>, Error> {
        let transaction = self.database.begin().await?;
        let found = Self::locked(&transaction, team, id).await?;
        let Some(row) = found.filter(|row| row.deleted_at.is_none()) else { return Ok(None) };
        let before = rows::connection(row)?;
        let change = connection::ActiveModel {
            id: Set(id.as_uuid()),
            status: Set(health.status.as_str().to_owned()),
            status_reason: Set(health.reason.clone()),
            ..Default::default()
        };
        connection::Entity::update_many()
            .set(change)
            .filter(connection::Column::Id.eq(id.as_uuid()))
            .exec(&*transaction)
            .await?;
        append(&*transaction, &entry(&before)).await?;
        transaction.commit().await?;
        Ok(Some(Connection { health: health.clone(), ..before }))
    }

    async fn touch(&self, team: TeamId, id: ConnectionId, at: OffsetDateTime) -> Result<(), Error> {
        let at = micros(at);
        let older = Condition::any()
            .add(connection::Column::LastUsedAt.is_null())
            .add(connection::Column::LastUsedAt.lt(at));
        let transaction = self.database.begin().await?;
        connection::Entity::update_many()
            .col_expr(connection::Column::LastUsedAt, Expr::value(at))
            .filter(connection::Column::Id.eq(id.as_uuid()))
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .filter(connection::Column::DeletedAt.is_null())
            .filter(older)
            .exec(&*transaction)
            .await?;
        transaction.commit().await
    }

    async fn delete_connection(
        &self,
        team: TeamId,
        id: ConnectionId,
        operation: OperationId,
        at: OffsetDateTime,
        entry: EntryOf<'_>,
    ) -> Result<Option<OutboxRow>, Error> {
        let transaction = self.database.begin().await?;
        let Some(row) = Self::locked(&transaction, team, id).await? else { return Ok(None) };
        if let Some(first) = row.deletion {
            let known = outbox::Entity::find()
                .filter(outbox::Column::OperationId.eq(first))
                .one(&*transaction)
                .await?;
            return known.as_ref().map(rows::outbox).transpose();
        }
        let noise = vec![0_u8; row.credential.as_ref().map_or(0, Vec::len)];
        let connection = rows::connection(row)?;
        let this =
            || connection::Entity::update_many().filter(connection::Column::Id.eq(id.as_uuid()));
        // Overwritten in place first: what a page holds after the second statement is the zeros.
        this()
            .col_expr(connection::Column::Credential, Expr::value(noise))
            .exec(&*transaction)
            .await?;
        this()
            .col_expr(connection::Column::Credential, Expr::value(Option::<Vec<u8>>::None))
            .col_expr(connection::Column::DeletedAt, Expr::value(micros(at)))
            .col_expr(connection::Column::Deletion, Expr::value(operation.as_uuid()))
            .exec(&*transaction)
            .await?;
        let cut = rows::new_outbox(operation, team, Scope::Connection(id), false);
        let inserted = cut.insert(&*transaction).await?;
        append(&*transaction, &entry(&connection)).await?;
        transaction.commit().await?;
        rows::outbox(&inserted).map(Some)
    }

    async fn outbox_due(&self, scope: Option<Scope>, limit: u64) -> Result<Vec<OutboxRow>, Error> {
        let earlier = Alias::new("earlier");
        let column = |column: outbox::Column| Expr::col((earlier.clone(), column));
        let own = |column: outbox::Column| Expr::col((outbox::Entity, column));
        let predecessor = Query::select()
            .expr(Expr::value(1))
            .from_as(outbox::Entity, earlier.clone())
            .and_where(column(outbox::Column::ScopeId).eq(own(outbox::Column::ScopeId)))
            .and_where(column(outbox::Column::ScopeKind).eq(own(outbox::Column::ScopeKind)))
            .and_where(column(outbox::Column::SettledAt).is_null())
            .and_where(column(outbox::Column::Number).lt(own(outbox::Column::Number)))
            .to_owned();
        let mut query = outbox::Entity::find()
            .filter(outbox::Column::SettledAt.is_null())
            .filter(Expr::exists(predecessor).not());
        if let Some(scope) = scope {
            let (kind, id) = rows::scope_columns(scope);
            query = query
                .filter(outbox::Column::ScopeKind.eq(kind))
                .filter(outbox::Column::ScopeId.eq(id));
        }
        let due = query
            .order_by(outbox::Column::Number, Order::Asc)
            .limit(limit)
            .all(self.database.read())
            .await?;
        due.iter().map(rows::outbox).collect()
    }

    async fn outbox_row(&self, operation: OperationId) -> Result<Option<OutboxRow>, Error> {
        let row = outbox::Entity::find()
            .filter(outbox::Column::OperationId.eq(operation.as_uuid()))
            .one(self.database.read())
            .await?;
        row.as_ref().map(rows::outbox).transpose()
    }

    async fn settle(
        &self,
        operation: OperationId,
        answer: Settled,
        at: OffsetDateTime,
    ) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        outbox::Entity::update_many()
            .set(rows::settled(answer, at)?)
            .filter(outbox::Column::OperationId.eq(operation.as_uuid()))
            .filter(outbox::Column::SettledAt.is_null())
            .exec(&*transaction)
            .await?;
        transaction.commit().await
    }

    async fn list_audit(&self, team: TeamId, page: &AuditPage) -> Result<Vec<(Entry, u64)>, Error> {
        let mut query = audit::Entity::find().filter(audit::Column::TeamId.eq(team.as_uuid()));
        if let Some(subject) = &page.subject {
            query = query.filter(audit::Column::SubjectId.eq(subject.as_str()));
        }
        if let Some(before) = page.before {
            query = query.filter(audit::Column::Id.lt(before.as_uuid()));
        }
        let found = query
            .order_by_desc(audit::Column::Id)
            .limit(page.limit)
            .all(self.database.read())
            .await?;
        let operations = found.iter().filter_map(|row| row.operation_id);
        let sent = outbox::Entity::find()
            .filter(outbox::Column::OperationId.is_in(operations))
            .all(self.database.read())
            .await?;
        let seq_of = |row: &audit::Model| {
            let carried = sent.iter().find(|sent| Some(sent.operation_id) == row.operation_id);
            carried.and_then(|sent| sent.seq).and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0)
        };
        found
            .into_iter()
            .map(|row| (seq_of(&row), row))
            .map(|(seq, row)| Ok((rows::entry(row)?, seq)))
            .collect()
    }
}

async fn append(database: &impl ConnectionTrait, entry: &Entry) -> Result<(), Error> {
    audit::Entity::insert(rows::new_entry(entry)).exec_without_returning(database).await?;
    Ok(())
}
