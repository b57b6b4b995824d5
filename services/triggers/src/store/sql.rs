//! The store in SQLite or Postgres.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keystile_domain::{Position, Scope};
use keystile_sql::{Database, Transaction};
use sea_orm::{
    EntityTrait, PaginatorTrait, Set,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::{
    Error, Store,
    entity::{applied, tombstone},
    migration::Migrator,
};

/// Tombstones in one statement: below the parameters that SQLite allows.
const BATCH: usize = 1_000;

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
}

#[async_trait]
impl Store for SqlStore {
    async fn applied(&self) -> Result<Option<Position>, Error> {
        let row = applied::Entity::find_by_id(applied::ONLY).one(self.database.read()).await?;
        row.as_ref().map(position).transpose()
    }

    async fn tombstones(&self) -> Result<u64, Error> {
        Ok(tombstone::Entity::find().count(self.database.read()).await?)
    }

    async fn reset(&self, begin: &Position) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        tombstone::Entity::delete_many().exec(&*transaction).await?;
        set_applied(&transaction, begin).await?;
        transaction.commit().await
    }

    async fn advance(&self, applied: &Position, changed: &[(Scope, u64)]) -> Result<(), Error> {
        // A statement may not touch one row twice. The log is in order: of two, the later stays.
        let latest: BTreeMap<Scope, u64> = changed.iter().copied().collect();
        let rows = latest.into_iter().map(|(scope, seq)| {
            let (kind, id) = scope_columns(scope);
            Ok(tombstone::ActiveModel {
                scope_kind: Set(kind.to_owned()),
                scope_id: Set(id),
                seq: Set(stored(seq)?),
            })
        });
        let rows = rows.collect::<Result<Vec<_>, Error>>()?;

        let transaction = self.database.begin().await?;
        for batch in rows.chunks(BATCH) {
            let newer = Expr::col((tombstone::Entity, tombstone::Column::Seq))
                .lt(Expr::col(("excluded", tombstone::Column::Seq)));
            let forward =
                OnConflict::columns([tombstone::Column::ScopeKind, tombstone::Column::ScopeId])
                    .update_column(tombstone::Column::Seq)
                    .action_and_where(newer)
                    .to_owned();
            tombstone::Entity::insert_many(batch.to_vec())
                .on_conflict(forward)
                .exec_without_returning(&*transaction)
                .await?;
        }
        let known = applied::Entity::find_by_id(applied::ONLY).one(&*transaction).await?;
        let known = known.as_ref().map(position).transpose()?;
        if known.is_none_or(|known| !known.reaches(applied)) {
            set_applied(&transaction, applied).await?;
        }
        transaction.commit().await
    }
}

async fn set_applied(transaction: &Transaction, at: &Position) -> Result<(), Error> {
    let row = applied::ActiveModel {
        id: Set(applied::ONLY),
        history: Set(at.history.to_string()),
        seq: Set(stored(at.seq)?),
    };
    let replace = OnConflict::column(applied::Column::Id)
        .update_columns([applied::Column::History, applied::Column::Seq])
        .to_owned();
    applied::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(&**transaction)
        .await?;
    Ok(())
}

fn position(row: &applied::Model) -> Result<Position, Error> {
    Ok(Position {
        history: row.history.parse().map_err(|_| Error::Corrupt("history"))?,
        seq: row.seq.try_into().map_err(|_| Error::Corrupt("position"))?,
    })
}

fn stored(seq: u64) -> Result<i64, Error> {
    seq.try_into().map_err(|_| Error::Corrupt("position"))
}

const fn scope_columns(scope: Scope) -> (&'static str, Uuid) {
    match scope {
        Scope::Key(id) => ("key", id.as_uuid()),
        Scope::Team(id) => ("team", id.as_uuid()),
        Scope::Integration(id) => ("integration", id.as_uuid()),
        Scope::Connection(id) => ("connection", id.as_uuid()),
    }
}
