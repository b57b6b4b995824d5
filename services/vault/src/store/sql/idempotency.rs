//! Runs under idempotency keys.

use async_trait::async_trait;
use keystile_domain::{RunId, TeamId};
use keystile_sql::{Bounded, micros, retried};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, Order, QueryFilter, Set,
    sea_query::{Expr, OnConflict, Query},
};
use time::OffsetDateTime;

use super::{SqlStore, keys};
use crate::store::{
    Error,
    entity::idempotency::{ActiveModel, Column, Entity, Model},
    idempotency::{Begun, IdempotencyStore, NewRun, RETENTION, Run, State},
};

const RUNNING: &str = "running";
const UNKNOWN: &str = "unknown";
const DONE: &str = "done";

#[async_trait]
impl IdempotencyStore for SqlStore {
    async fn begin_run(&self, new: &NewRun) -> Result<Begun, Error> {
        let new = new.clone();
        self.database
            .transaction("begin_run", move |transaction| {
                let new = new.clone();
                Box::pin(async move { begin(transaction, &new).await })
            })
            .await
    }

    async fn settle_run(&self, team: TeamId, id: RunId, state: State) -> Result<bool, Error> {
        let (state, answer) = columns(state);
        let state = Set(state.to_owned());
        let change = ActiveModel { state, answer: Set(answer), ..Default::default() };
        let settle = async || {
            let transaction = self.database.begin().await?;
            if let Set(Some(answer)) = &change.answer {
                keys::hold(&*transaction, answer).await?;
            }
            let settled = Entity::update_many()
                .set(change.clone())
                .filter(running(team, id))
                .exec(&*transaction)
                .await?;
            transaction.commit().await?;
            Ok(settled.rows_affected == 1)
        };
        retried(settle).await
    }

    async fn release_run(&self, team: TeamId, id: RunId) -> Result<(), Error> {
        let release = async || {
            let transaction = self.database.begin().await?;
            Entity::delete_many().filter(running(team, id)).exec(&*transaction).await?;
            transaction.commit().await
        };
        retried(release).await
    }

    async fn prune_runs(&self, before: OffsetDateTime, limit: u64) -> Result<u64, Error> {
        let oldest = Query::select()
            .column(Column::Id)
            .from(Entity)
            .and_where(Expr::col(Column::BeganAt).lt(micros(before)))
            .order_by(Column::BeganAt, Order::Asc)
            .limit(limit)
            .to_owned();
        let transaction = self.database.begin().await?;
        let pruned = Entity::delete_many()
            .filter(Column::Id.in_subquery(oldest))
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(pruned.rows_affected)
    }
}

fn running(team: TeamId, id: RunId) -> Condition {
    Condition::all()
        .add(Column::Id.eq(id.as_uuid()))
        .add(Column::TeamId.eq(team.as_uuid()))
        .add(Column::State.eq(RUNNING))
}

async fn begin(transaction: &Bounded<DatabaseTransaction>, new: &NewRun) -> Result<Begun, Error> {
    Entity::delete_many()
        .filter(Column::TeamId.eq(new.team.as_uuid()))
        .filter(Column::KeyId.eq(new.key.as_uuid()))
        .filter(Column::NameDigest.eq(&new.name_digest[..]))
        .filter(Column::BeganAt.lt(micros(new.began_at - RETENTION)))
        .exec(transaction)
        .await?;
    let name = [Column::TeamId, Column::KeyId, Column::NameDigest];
    // On Postgres this waits for whoever is about to take the same name.
    let taken = Entity::insert(row(new))
        .on_conflict(OnConflict::columns(name).do_nothing().to_owned())
        .exec_without_returning(transaction)
        .await?;
    if taken == 1 {
        return Ok(Begun::Ours);
    }
    let known = Entity::find()
        .filter(Column::TeamId.eq(new.team.as_uuid()))
        .filter(Column::KeyId.eq(new.key.as_uuid()))
        .filter(Column::NameDigest.eq(&new.name_digest[..]))
        .one(transaction)
        .await?;
    // It was released since: the name is free.
    let Some(mut known) = known else { return Err(Error::Busy) };
    if known.state == RUNNING && known.lease_ends_at < micros(new.began_at) {
        let change = ActiveModel { state: Set(UNKNOWN.to_owned()), ..Default::default() };
        let changed = Entity::update_many()
            .set(change)
            .filter(Column::Id.eq(known.id))
            .filter(Column::State.eq(RUNNING))
            .exec(transaction)
            .await?;
        if changed.rows_affected != 1 {
            return Err(Error::Busy);
        }
        UNKNOWN.clone_into(&mut known.state);
    }
    run(known).map(Begun::Known)
}

fn row(new: &NewRun) -> ActiveModel {
    ActiveModel {
        id: Set(new.id.as_uuid()),
        team_id: Set(new.team.as_uuid()),
        key_id: Set(new.key.as_uuid()),
        name_digest: Set(new.name_digest.to_vec()),
        request_digest: Set(new.request_digest.to_vec()),
        began_at: Set(micros(new.began_at)),
        lease_ends_at: Set(micros(new.lease_ends_at)),
        state: Set(RUNNING.to_owned()),
        answer: Set(None),
    }
}

fn columns(state: State) -> (&'static str, Option<Vec<u8>>) {
    match state {
        State::Running => (RUNNING, None),
        State::Unknown => (UNKNOWN, None),
        State::Done(answer) => (DONE, Some(answer)),
    }
}

fn run(row: Model) -> Result<Run, Error> {
    let state = match (row.state.as_str(), row.answer) {
        (RUNNING, None) => State::Running,
        (UNKNOWN, None) => State::Unknown,
        (DONE, Some(answer)) => State::Done(answer),
        _ => return Err(Error::Corrupt("run")),
    };
    let digest = row.request_digest.try_into();
    let request_digest = digest.map_err(|_| Error::Corrupt("request digest"))?;
    Ok(Run { id: RunId::from_uuid(row.id), request_digest, state })
}
