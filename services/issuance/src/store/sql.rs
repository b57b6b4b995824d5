//! The rows in SQLite or Postgres.

use async_trait::async_trait;
use keystile_domain::{
    ConnectionId, Entropy, Incarnation, IntegrationId, KeyId, OperationId, TeamId, entropy,
    facts::{KeyFacts, KeyStatus},
    log::{History, LogRow, Nonce, Receipt},
};
use keystile_sql::{self as sql, Database, micros};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Statement, UpdateMany,
    sea_query::{Expr, OnConflict},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    AuditQuery, AuditRecord, Epoch, FactsOf, FollowerRecord, Hearing, KeyQuery, KeyRecord,
    Operation, Renewal, Store, TeamRecord, Tx,
    entity::{audit, epoch, follower, grant, key, log, operation, scope_status, secret, team},
    migration::Migrator,
};
use crate::Error;

mod list;
mod rows;
mod tx;

use rows::{stored, unstored};

/// The one row of `epoch`.
const EPOCH: i32 = 1;
/// Before the first history is settled: one that no database has.
const UNSETTLED: &str = "00000000000000000000000000000000-0";

/// A store in a database.
#[derive(Debug, Clone)]
pub struct SqlStore(Database);

/// Brings the schema up to date.
///
/// # Errors
/// [`Error::Store`].
pub async fn migrate(database: &Database) -> Result<(), Error> {
    Ok(database.migrate::<Migrator>().await?)
}

/// The migrations that are not applied yet, by name.
///
/// # Errors
/// [`Error::Store`].
pub async fn pending(database: &Database) -> Result<Vec<String>, Error> {
    Ok(database.pending::<Migrator>().await?)
}

impl SqlStore {
    /// Opens the store in a database whose schema is up to date. The first opening gives the
    /// database its random id, which names its history.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn open(database: Database, entropy: &dyn Entropy) -> Result<Self, Error> {
        let database_id = Uuid::from_bytes(entropy::bytes(entropy));
        let row = epoch::ActiveModel {
            id: Set(EPOCH),
            database_id: Set(database_id),
            head: Set(0),
            nonce: Set(Uuid::from_bytes(entropy::bytes(entropy))),
            // Nothing was answered from it yet, so there is nothing to wait for.
            settled: Set(UNSETTLED.to_owned()),
        };
        let made = epoch::Entity::insert(row)
            .on_conflict(OnConflict::column(epoch::Column::Id).do_nothing().to_owned())
            .exec_without_returning(database.read())
            .await
            .map_err(sql::Error::from)?;
        let store = Self(database);
        if made > 0 {
            let epoch = store.epoch().await?;
            store.settle(epoch.history).await?;
        }
        Ok(store)
    }

    /// One update in its turn: on SQLite, beside other writers of this process.
    async fn write<E: EntityTrait>(&self, update: UpdateMany<E>) -> Result<(), Error> {
        let tx = self.0.begin().await?;
        update.exec(&*tx).await?;
        Ok(tx.commit().await?)
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(cause: sea_orm::DbErr) -> Self {
        Self::Store(cause.into())
    }
}

/// The head, and the history that it belongs to: the database's id and its timeline. A primary that
/// takes over, or is restored, begins a new one in its WAL file names (the first eight digits); it may
/// lack rows that followers have seen. SQLite has one.
fn head(backend: DbBackend) -> String {
    let timeline = match backend {
        DbBackend::Postgres => {
            "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int8"
        }
        _ => "0",
    };
    format!("e.database_id, e.head, e.nonce AS head_nonce, e.settled, {timeline} AS timeline")
}

async fn epoch(database: &impl ConnectionTrait) -> Result<Epoch, Error> {
    let backend = database.get_database_backend();
    let select = format!("SELECT {} FROM epoch e WHERE e.id = {EPOCH}", head(backend));
    let row = database.query_one_raw(Statement::from_string(backend, select)).await?;
    rows::epoch(&row.ok_or(sql::Error::Corrupt("epoch"))?)
}

async fn team(database: &impl ConnectionTrait, id: TeamId) -> Result<Option<TeamRecord>, Error> {
    let row = team::Entity::find_by_id(id.as_uuid()).one(database).await?;
    row.map(|row| rows::team(&row)).transpose()
}

async fn count_keys(database: &impl ConnectionTrait, team: TeamId) -> Result<u64, Error> {
    Ok(key::Entity::find()
        .filter(key::Column::TeamId.eq(team.as_uuid()))
        .filter(key::Column::Status.ne(KeyStatus::Revoked.as_str()))
        .count(database)
        .await?)
}

async fn find_key(
    database: &impl ConnectionTrait,
    team: TeamId,
    id: KeyId,
) -> Result<Option<KeyRecord>, Error> {
    let row = key::Entity::find_by_id(id.as_uuid())
        .filter(key::Column::TeamId.eq(team.as_uuid()))
        .all(database)
        .await?;
    Ok(with_parts(database, row).await?.pop())
}

/// The keys with their secrets and grants, in two queries for all of them.
async fn with_parts(
    database: &impl ConnectionTrait,
    keys: Vec<key::Model>,
) -> Result<Vec<KeyRecord>, Error> {
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
    let secrets = secret::Entity::find()
        .filter(secret::Column::KeyId.is_in(ids.iter().copied()))
        .order_by_asc(secret::Column::CreatedAt)
        .order_by_asc(secret::Column::Id)
        .all(database)
        .await?;
    let grants =
        grant::Entity::find().filter(grant::Column::KeyId.is_in(ids)).all(database).await?;
    keys.into_iter()
        .map(|key| {
            let secrets = secrets.iter().filter(|secret| secret.key_id == key.id);
            let grants = grants.iter().filter(|grant| grant.key_id == key.id);
            rows::key(&key, secrets, grants)
        })
        .collect()
}

async fn followers(database: &impl ConnectionTrait) -> Result<Vec<FollowerRecord>, Error> {
    let rows = follower::Entity::find().all(database).await?;
    rows.iter().map(rows::follower).collect()
}

async fn operation(
    database: &impl ConnectionTrait,
    team: TeamId,
    id: OperationId,
) -> Result<Option<Operation>, Error> {
    let row = operation::Entity::find_by_id((team.as_uuid(), id.as_uuid())).one(database).await?;
    row.map(|row| rows::operation(&row)).transpose()
}

async fn log_after(
    database: &impl ConnectionTrait,
    after: u64,
    limit: u64,
) -> Result<Vec<LogRow>, Error> {
    let rows = log::Entity::find()
        .filter(log::Column::Seq.gt(stored(after)))
        .order_by_asc(log::Column::Seq)
        .limit(limit)
        .all(database)
        .await?;
    rows.iter().map(rows::log_row).collect()
}

async fn facts(
    database: &impl ConnectionTrait,
    of: FactsOf,
) -> Result<(Epoch, Option<KeyFacts>), Error> {
    let epoch = epoch(database).await?;
    let by = match of {
        FactsOf::Kid(kid) => key::Column::Kid.eq(kid.as_str()),
        FactsOf::Key(id) => key::Column::Id.eq(id.as_uuid()),
    };
    let row = key::Entity::find().filter(by).all(database).await?;
    let Some(key) = with_parts(database, row).await?.pop() else {
        return Ok((epoch, None));
    };
    let team = team(database, key.team).await?.ok_or(sql::Error::Corrupt("team"))?;
    let unusable = scope_status::Entity::find()
        .filter(scope_status::Column::TeamId.eq(key.team.as_uuid()))
        .filter(scope_status::Column::Usable.eq(false))
        .filter(scope_status::Column::ScopeId.is_in(key.grants.iter().flat_map(|grant| {
            let connection = grant.connection().map(ConnectionId::as_uuid);
            connection.into_iter().chain(grant.integration().map(IntegrationId::as_uuid))
        })))
        .all(database)
        .await?;
    let stopped = |kind: &str, id: Option<Uuid>| {
        let named = |row: &scope_status::Model| row.scope_kind == kind && Some(row.scope_id) == id;
        unusable.iter().any(named)
    };
    let facts = key.facts(&team, |grant| {
        !stopped(rows::CONNECTION, grant.connection().map(ConnectionId::as_uuid))
            && !stopped(rows::INTEGRATION, grant.integration().map(IntegrationId::as_uuid))
    });
    Ok((epoch, Some(facts)))
}

#[async_trait]
impl Store for SqlStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, Error> {
        Ok(Box::new(tx::SqlTx(self.0.begin().await?)))
    }

    async fn epoch(&self) -> Result<Epoch, Error> {
        epoch(self.0.read()).await
    }

    async fn team(&self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        team(self.0.read(), id).await
    }

    async fn count_keys(&self, team: TeamId) -> Result<u64, Error> {
        count_keys(self.0.read(), team).await
    }

    async fn key(&self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        self.0.snapshot("key", move |tx| Box::pin(find_key(tx, team, id))).await
    }

    async fn list_keys(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, Error> {
        let query = query.clone();
        self.0
            .snapshot("list_keys", move |tx| Box::pin(async move { list::keys(tx, &query).await }))
            .await
    }

    async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, Error> {
        let rows = audit::Entity::find()
            .filter(audit::Column::TeamId.eq(query.team.as_uuid()))
            .filter(
                Condition::all()
                    .add_option(query.before.map(|seq| audit::Column::Seq.lt(stored(seq))))
                    .add_option(query.subject.as_ref().map(|id| audit::Column::SubjectId.eq(id))),
            )
            .order_by_desc(audit::Column::Seq)
            .limit(query.limit)
            .all(self.0.read())
            .await?;
        rows.into_iter().map(rows::audit).collect()
    }

    async fn facts(&self, of: FactsOf) -> Result<(Epoch, Option<KeyFacts>), Error> {
        self.0.snapshot("facts", move |tx| Box::pin(facts(tx, of))).await
    }

    async fn keys_under_token_key(
        &self,
        version: u8,
        after: Option<KeyId>,
        limit: u64,
    ) -> Result<Vec<(TeamId, KeyId)>, Error> {
        let under = secret::Entity::find()
            .select_only()
            .column(secret::Column::KeyId)
            .filter(secret::Column::TokenKeyVersion.eq(i16::from(version)));
        let keys = key::Entity::find()
            .filter(key::Column::Id.in_subquery(under.into_query()))
            .filter(key::Column::Status.ne(KeyStatus::Revoked.as_str()))
            .filter(Condition::all().add_option(after.map(|id| key::Column::Id.gt(id.as_uuid()))))
            .order_by_asc(key::Column::Id)
            .limit(limit)
            .all(self.0.read())
            .await?;
        let ids = keys.iter().map(|key| (TeamId::from_uuid(key.team_id), KeyId::from_uuid(key.id)));
        Ok(ids.collect())
    }

    async fn operation(&self, team: TeamId, id: OperationId) -> Result<Option<Operation>, Error> {
        operation(self.0.read(), team, id).await
    }

    async fn followers(&self) -> Result<Vec<FollowerRecord>, Error> {
        followers(self.0.read()).await
    }

    async fn renewal(&self, id: Incarnation, after: u64) -> Result<Renewal, Error> {
        // One statement, so that the mark of retirement, the head and the tail are of one instant
        // on Postgres as well, without a transaction.
        const RENEWAL: &str = "f.retiring, f.role, l.seq, l.nonce, l.previous_nonce, l.scope_kind, l.scope_id, l.kind, \
             l.cut, l.operation_id, l.created_at \
             FROM epoch e LEFT JOIN followers f ON f.incarnation = $1 \
             LEFT JOIN log l ON l.seq > $2 ORDER BY l.seq";
        let database = self.0.read();
        let values = [id.as_uuid().into(), stored(after).into()];
        let backend = database.get_database_backend();
        let select = format!("SELECT {}, {RENEWAL}", head(backend));
        let statement = Statement::from_sql_and_values(backend, select, values);
        rows::renewal(&database.query_all_raw(statement).await?)
    }

    async fn log_after(&self, after: u64, limit: u64) -> Result<(History, Vec<LogRow>), Error> {
        let database = self.0.read();
        let rows = log_after(database, after, limit).await?;
        Ok((epoch(database).await?.history, rows))
    }

    async fn record_answered(&self, ids: &[Incarnation], at: OffsetDateTime) -> Result<(), Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_uuid()).collect();
        let update = follower::Entity::update_many()
            .col_expr(follower::Column::AnsweredAt, Expr::val(micros(at)))
            .filter(follower::Column::Incarnation.is_in(ids));
        self.write(update).await
    }

    async fn record_receipt(&self, receipt: &Receipt) -> Result<(), Error> {
        let count = |number: u32| Expr::val(i32::try_from(number).unwrap_or(i32::MAX));
        let elapsed = i64::try_from(receipt.elapsed.as_micros()).unwrap_or(i64::MAX);
        let update = audit::Entity::update_many()
            .col_expr(audit::Column::Acknowledged, count(receipt.acknowledged))
            .col_expr(audit::Column::WaitedOut, count(receipt.waited_out))
            .col_expr(audit::Column::ElapsedUs, Expr::val(elapsed))
            .filter(audit::Column::Seq.eq(stored(receipt.seq)))
            .filter(audit::Column::Acknowledged.is_null());
        self.write(update).await
    }

    async fn receipt(&self, seq: u64) -> Result<Option<Receipt>, Error> {
        let row = audit::Entity::find_by_id(stored(seq)).one(self.0.read()).await?;
        row.map_or(Ok(None), |row| rows::receipt(&row))
    }

    async fn settle(&self, history: History) -> Result<(), Error> {
        let update = epoch::Entity::update_many()
            .col_expr(epoch::Column::Settled, Expr::val(history.to_string()))
            .filter(epoch::Column::Id.eq(EPOCH));
        self.write(update).await
    }

    async fn tell(&self, text: &str) -> Result<(), Error> {
        Ok(self.0.tell(CHANNEL, text).await?)
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, Error> {
        Ok(Box::new(self.0.listen(CHANNEL).await?))
    }
}

/// The channel of issuance's own database.
const CHANNEL: &str = "keystile_issuance";

#[async_trait]
impl Hearing for sql::Listener {
    async fn next(&mut self) -> Result<Option<String>, Error> {
        Ok(sql::Listener::next(self).await?)
    }
}

/// The rows' own spelling of a number of the log.
fn seq(stored: i64) -> Result<u64, Error> {
    unstored(stored, "seq")
}

/// A mark as it is stored.
const fn mark(nonce: Nonce) -> Uuid {
    Uuid::from_bytes(nonce.0)
}
