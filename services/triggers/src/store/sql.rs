//! The store in SQLite or Postgres.

use std::collections::BTreeMap;

use async_trait::async_trait;
use keystile_domain::{
    Position, Scope,
    log::{Applied, Nonce},
};
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
    async fn applied(&self) -> Result<Option<Applied>, Error> {
        let row = applied::Entity::find_by_id(applied::ONLY).one(self.database.read()).await?;
        row.as_ref().map_or(Ok(None), read)
    }

    async fn tombstones(&self) -> Result<u64, Error> {
        Ok(tombstone::Entity::find().count(self.database.read()).await?)
    }

    async fn reset(&self, begin: &Applied) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        tombstone::Entity::delete_many().exec(&*transaction).await?;
        set_applied(&transaction, begin).await?;
        transaction.commit().await
    }

    async fn advance(&self, applied: &Applied, changed: &[(Scope, u64)]) -> Result<(), Error> {
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
        let known = known.as_ref().map_or(Ok(None), read)?;
        if known.is_none_or(|known| !known.position.reaches(&applied.position)) {
            set_applied(&transaction, applied).await?;
        }
        transaction.commit().await
    }
}

async fn set_applied(transaction: &Transaction, at: &Applied) -> Result<(), Error> {
    let row = applied::ActiveModel {
        id: Set(applied::ONLY),
        history: Set(at.position.history.to_string()),
        seq: Set(stored(at.position.seq)?),
        nonce: Set(Some(Uuid::from_bytes(at.nonce.0))),
    };
    let replace = OnConflict::column(applied::Column::Id)
        .update_columns([applied::Column::History, applied::Column::Seq, applied::Column::Nonce])
        .to_owned();
    applied::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(&**transaction)
        .await?;
    Ok(())
}

/// `None` of a row from before marks were stored: who does not know which row it applied begins anew.
fn read(row: &applied::Model) -> Result<Option<Applied>, Error> {
    let Some(nonce) = row.nonce else { return Ok(None) };
    let position = Position {
        history: row.history.parse().map_err(|_| Error::Corrupt("history"))?,
        seq: row.seq.try_into().map_err(|_| Error::Corrupt("position"))?,
    };
    Ok(Some(Applied { position, nonce: Nonce(nonce.into_bytes()) }))
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
