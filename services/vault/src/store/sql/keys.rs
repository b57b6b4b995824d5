//! Keys in SQLite or Postgres.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use keystile_domain::TeamId;
use keystile_seal::{DataKeyId, DataKeyRecord, USE_LIMIT};
use keystile_sql::{Transaction, micros};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set,
    sea_query::{Expr, LockType, OnConflict},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{SqlStore, rows, sealed};
use crate::store::{
    Error,
    entity::{data_key, key_reader, wrapping},
    keys::{KeyStore, Reader, SealedRow, Wrapping},
};

/// A process that did not say that it ends is not kept for longer.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// A data key that was counted this often seals no more.
fn use_limit() -> i64 {
    i64::try_from(USE_LIMIT - 1).unwrap_or(i64::MAX)
}

/// Keeps the data key of a new sealed value until the transaction ends. [`Error::Busy`] if it was
/// removed since the value was sealed: sealed again, it is under another.
pub(super) async fn hold(database: &impl ConnectionTrait, sealed: &[u8]) -> Result<(), Error> {
    let id = keystile_seal::data_key_id(sealed).map_err(|_| Error::Corrupt("sealed value"))?;
    // Does not stand in the way of who counts a use.
    let held =
        data_key::Entity::find_by_id(id.as_uuid()).lock(LockType::KeyShare).one(database).await?;
    held.map(drop).ok_or(Error::Busy)
}

/// Adds a data key, unless an older key-encryption key wraps it than the one that wraps now. Until
/// the transaction ends no other can be chosen.
async fn add(
    transaction: &Transaction,
    record: &DataKeyRecord,
    created_at: OffsetDateTime,
) -> Result<bool, Error> {
    let now = wrapping::Entity::find().lock(LockType::Share).one(&**transaction).await?;
    if now.is_some_and(|now| i64::from(record.kek_version) < now.version) {
        return Ok(false);
    }
    data_key::Entity::insert(rows::new_data_key(record, created_at)?)
        .exec_without_returning(&**transaction)
        .await?;
    Ok(true)
}

#[async_trait]
impl KeyStore for SqlStore {
    async fn current_data_key(&self, team: TeamId) -> Result<Option<DataKeyRecord>, Error> {
        let newest = data_key::Entity::find()
            .filter(data_key::Column::TeamId.eq(team.as_uuid()))
            .filter(data_key::Column::Uses.lt(use_limit()))
            .filter(data_key::Column::RetiredAt.is_null())
            .order_by_desc(data_key::Column::CreatedAt)
            .order_by_desc(data_key::Column::Id)
            .one(self.database.read())
            .await?;
        newest.map(rows::data_key).transpose()
    }

    async fn insert_data_key(
        &self,
        record: &DataKeyRecord,
        created_at: OffsetDateTime,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        let added = add(&transaction, record, created_at).await?;
        transaction.commit().await?;
        Ok(added)
    }

    async fn replace_data_key(
        &self,
        record: &DataKeyRecord,
        created_at: OffsetDateTime,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        data_key::Entity::update_many()
            .col_expr(data_key::Column::RetiredAt, Expr::value(micros(created_at)))
            .filter(data_key::Column::TeamId.eq(record.team.as_uuid()))
            .filter(data_key::Column::RetiredAt.is_null())
            .exec(&*transaction)
            .await?;
        let added = add(&transaction, record, created_at).await?;
        if added {
            transaction.commit().await?;
        }
        Ok(added)
    }

    async fn count_uses(&self, team: TeamId, id: DataKeyId, count: u64) -> Result<bool, Error> {
        let count = rows::stored(count, "use count")?;
        let transaction = self.database.begin().await?;
        let counted = data_key::Entity::update_many()
            .col_expr(data_key::Column::Uses, Expr::col(data_key::Column::Uses).add(count))
            .filter(data_key::Column::Id.eq(id.as_uuid()))
            .filter(data_key::Column::TeamId.eq(team.as_uuid()))
            .filter(data_key::Column::Uses.lte(use_limit() - count))
            .filter(data_key::Column::RetiredAt.is_null())
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(counted.rows_affected == 1)
    }

    async fn find_data_key(
        &self,
        team: TeamId,
        id: DataKeyId,
    ) -> Result<Option<DataKeyRecord>, Error> {
        let found = data_key::Entity::find_by_id(id.as_uuid())
            .filter(data_key::Column::TeamId.eq(team.as_uuid()))
            .one(self.database.read())
            .await?;
        found.map(rows::data_key).transpose()
    }

    async fn data_key_samples(&self) -> Result<Vec<DataKeyRecord>, Error> {
        let versions: Vec<i64> = data_key::Entity::find()
            .select_only()
            .column(data_key::Column::KekVersion)
            .distinct()
            .into_tuple()
            .all(self.database.read())
            .await?;
        let mut samples = Vec::with_capacity(versions.len());
        for version in versions {
            let sample = data_key::Entity::find()
                .filter(data_key::Column::KekVersion.eq(version))
                .order_by_desc(data_key::Column::CreatedAt)
                .one(self.database.read())
                .await?;
            samples.extend(sample.map(rows::data_key).transpose()?);
        }
        Ok(samples)
    }

    async fn data_key_counts(&self) -> Result<BTreeMap<u32, u64>, Error> {
        let counts: Vec<(i64, i64)> = data_key::Entity::find()
            .select_only()
            .column(data_key::Column::KekVersion)
            .column_as(data_key::Column::Id.count(), "count")
            .group_by(data_key::Column::KekVersion)
            .into_tuple()
            .all(self.database.read())
            .await?;
        counts.into_iter().map(rows::data_key_count).collect()
    }

    async fn wrapping(&self) -> Result<Wrapping, Error> {
        let row = wrapping::Entity::find().one(self.database.read()).await?;
        rows::wrapping(&row.ok_or(Error::Corrupt("wrapping version"))?)
    }

    async fn announce(&self, version: u32) -> Result<(), Error> {
        let version = i64::from(version);
        let transaction = self.database.begin().await?;
        wrapping::Entity::update_many()
            .col_expr(wrapping::Column::Announced, Expr::value(version))
            .filter(wrapping::Column::Announced.lt(version))
            .exec(&*transaction)
            .await?;
        transaction.commit().await
    }

    async fn raise(&self, version: u32) -> Result<(), Error> {
        self.announce(version).await?;
        let version = i64::from(version);
        let transaction = self.database.begin().await?;
        wrapping::Entity::update_many()
            .col_expr(wrapping::Column::Version, Expr::value(version))
            .filter(wrapping::Column::Version.lt(version))
            .exec(&*transaction)
            .await?;
        transaction.commit().await
    }

    async fn seen(&self, reader: &Reader) -> Result<(), Error> {
        let row = key_reader::ActiveModel {
            id: Set(reader.id),
            newest: Set(reader.newest.into()),
            seen_at: Set(micros(reader.seen_at)),
        };
        let transaction = self.database.begin().await?;
        key_reader::Entity::delete_many()
            .filter(key_reader::Column::SeenAt.lt(micros(reader.seen_at - FORGOTTEN)))
            .exec(&*transaction)
            .await?;
        key_reader::Entity::insert(row)
            .on_conflict(
                OnConflict::column(key_reader::Column::Id)
                    .update_columns([key_reader::Column::Newest, key_reader::Column::SeenAt])
                    .to_owned(),
            )
            .exec_without_returning(&*transaction)
            .await?;
        transaction.commit().await
    }

    async fn gone(&self, id: Uuid) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        key_reader::Entity::delete_by_id(id).exec(&*transaction).await?;
        transaction.commit().await
    }

    async fn readers(&self, since: OffsetDateTime) -> Result<Vec<Reader>, Error> {
        let found = key_reader::Entity::find()
            .filter(key_reader::Column::SeenAt.gte(micros(since)))
            .order_by_asc(key_reader::Column::Id)
            .all(self.database.read())
            .await?;
        found.iter().map(rows::reader).collect()
    }

    async fn wrapped_below(
        &self,
        version: u32,
        limit: u64,
    ) -> Result<(u64, Vec<DataKeyRecord>), Error> {
        let below =
            data_key::Entity::find().filter(data_key::Column::KekVersion.lt(i64::from(version)));
        let count = below.clone().count(self.database.read()).await?;
        let first = below.limit(limit).all(self.database.read()).await?;
        Ok((count, first.into_iter().map(rows::data_key).collect::<Result<_, _>>()?))
    }

    async fn rewrap(&self, pairs: &[(DataKeyRecord, DataKeyRecord)]) -> Result<u64, Error> {
        let transaction = self.database.begin().await?;
        let mut stored = 0;
        for (before, after) in pairs {
            let version = i64::from(after.kek_version);
            let replaced = data_key::Entity::update_many()
                .col_expr(data_key::Column::KekVersion, Expr::value(version))
                .col_expr(data_key::Column::Wrapped, Expr::value(after.wrapped.clone()))
                .filter(data_key::Column::Id.eq(before.id.as_uuid()))
                .filter(data_key::Column::KekVersion.eq(i64::from(before.kek_version)))
                .filter(data_key::Column::Wrapped.eq(before.wrapped.clone()))
                .exec(&*transaction)
                .await?;
            stored += replaced.rows_affected;
        }
        transaction.commit().await?;
        Ok(stored)
    }

    async fn teams_with_data_keys(&self) -> Result<Vec<TeamId>, Error> {
        let teams: Vec<Uuid> = data_key::Entity::find()
            .select_only()
            .column(data_key::Column::TeamId)
            .distinct()
            .order_by_asc(data_key::Column::TeamId)
            .into_tuple()
            .all(self.database.read())
            .await?;
        Ok(teams.into_iter().map(TeamId::from_uuid).collect())
    }

    async fn retired_data_keys(&self, team: TeamId) -> Result<Vec<DataKeyRecord>, Error> {
        let found = data_key::Entity::find()
            .filter(data_key::Column::TeamId.eq(team.as_uuid()))
            .filter(data_key::Column::RetiredAt.is_not_null())
            .order_by_asc(data_key::Column::Id)
            .all(self.database.read())
            .await?;
        found.into_iter().map(rows::data_key).collect()
    }

    async fn sealed_under_others(
        &self,
        team: TeamId,
        id: DataKeyId,
        limit: u64,
    ) -> Result<(u64, Vec<SealedRow>), Error> {
        let (mut count, mut first) = (0, Vec::new());
        for column in sealed::SEALED {
            count += column.count_others(self.database.read(), team, id).await?;
            let left = limit.saturating_sub(first.len() as u64);
            first.extend(column.others(self.database.read(), team, id, left).await?);
        }
        Ok((count, first))
    }

    async fn reseal(&self, team: TeamId, pairs: &[(SealedRow, Vec<u8>)]) -> Result<u64, Error> {
        let transaction = self.database.begin().await?;
        let mut stored = 0;
        for (before, after) in pairs {
            hold(&*transaction, after).await?;
            let column = sealed::of(before.purpose)?;
            stored += column.replace(&*transaction, team, before, after).await?;
        }
        transaction.commit().await?;
        Ok(stored)
    }

    async fn remove_retired(&self, team: TeamId) -> Result<u64, Error> {
        let transaction = self.database.begin().await?;
        // Waits for who is storing a value that one of them sealed; it is counted then.
        let retired = data_key::Entity::find()
            .filter(data_key::Column::TeamId.eq(team.as_uuid()))
            .filter(data_key::Column::RetiredAt.is_not_null())
            .lock_exclusive()
            .all(&*transaction)
            .await?;
        let mut removed = 0;
        for key in retired {
            let id = DataKeyId::from_uuid(key.id);
            let mut needed = 0;
            for column in sealed::SEALED {
                needed += column.count_under(&*transaction, team, id).await?;
            }
            if needed == 0 {
                data_key::Entity::delete_by_id(key.id).exec(&*transaction).await?;
                removed += 1;
            }
        }
        transaction.commit().await?;
        Ok(removed)
    }
}
