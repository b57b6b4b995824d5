//! Refreshing in SQL. Every step locks the connection's row, so that steps of two processes come one
//! after the other.

use async_trait::async_trait;
use keystile_domain::{ConnectionId, TeamId};
use keystile_sql::micros;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::Expr,
};
use time::OffsetDateTime;

use super::{SqlStore, append, keys, rows};
use crate::{
    connection::{Connection, Health, Status},
    integration,
    store::{
        EntryOf, Error, SealedCredential,
        entity::connection,
        refresh::{Claim, Fence, RefreshStore, Refreshed},
    },
};

pub(super) const IDLE: &str = "idle";
const CLAIMED: &str = "claimed";
const EXCHANGING: &str = "exchanging";

/// Why a connection is expired whose refresh token may be spent.
const UNKNOWN: &str = "refresh_outcome_unknown";

fn released() -> connection::ActiveModel {
    connection::ActiveModel {
        refresh_state: Set(IDLE.to_owned()),
        refresh_until: Set(None),
        ..Default::default()
    }
}

fn health_columns(health: &Health) -> connection::ActiveModel {
    connection::ActiveModel {
        status: Set(health.status.as_str().to_owned()),
        status_reason: Set(health.reason.clone()),
        ..released()
    }
}

#[async_trait]
impl RefreshStore for SqlStore {
    async fn claim_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        version: u64,
        now: OffsetDateTime,
        until: OffsetDateTime,
        lost: EntryOf<'_>,
    ) -> Result<Claim, Error> {
        let transaction = self.database.begin().await?;
        let found = Self::locked(&transaction, team, id).await?;
        let Some(row) = found.filter(|row| row.deleted_at.is_none()) else {
            return Ok(Claim::Changed);
        };
        let lapsed = row.refresh_until.is_none_or(|until| until <= micros(now));
        let this = || connection::Entity::update_many().filter(connection::Column::Id.eq(row.id));
        if row.refresh_state == EXCHANGING && lapsed {
            let health = Health::because(Status::Expired, UNKNOWN);
            let change =
                connection::ActiveModel { refresh_at: Set(None), ..health_columns(&health) };
            this().set(change).exec(&*transaction).await?;
            append(&*transaction, &lost(&rows::connection(row.clone())?)).await?;
            transaction.commit().await?;
            return Ok(Claim::Changed);
        }
        let before = rows::connection(row.clone())?;
        let other = row.credential_version != rows::stored(version, "credential version")?;
        if other || !before.health.status.may_run() {
            return Ok(Claim::Changed);
        }
        if row.refresh_state != IDLE && !lapsed {
            return Ok(Claim::Busy);
        }
        let fence = row.refresh_fence + 1;
        let change = connection::ActiveModel {
            refresh_state: Set(CLAIMED.to_owned()),
            refresh_until: Set(Some(micros(until))),
            refresh_fence: Set(fence),
            ..Default::default()
        };
        this().set(change).exec(&*transaction).await?;
        transaction.commit().await?;
        Ok(Claim::Won(Fence(rows::read(fence, "fencing token")?)))
    }

    async fn begin_exchange(
        &self,
        id: ConnectionId,
        fence: Fence,
        until: OffsetDateTime,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        let begun = connection::Entity::update_many()
            .col_expr(connection::Column::RefreshState, Expr::value(EXCHANGING))
            .col_expr(connection::Column::RefreshUntil, Expr::value(micros(until)))
            .filter(connection::Column::Id.eq(id.as_uuid()))
            .filter(connection::Column::RefreshState.eq(CLAIMED))
            .filter(connection::Column::RefreshFence.eq(rows::stored(fence.0, "fencing token")?))
            .filter(connection::Column::DeletedAt.is_null())
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(begun.rows_affected == 1)
    }

    async fn finish_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        fence: Fence,
        refreshed: &Refreshed,
        changed: EntryOf<'_>,
    ) -> Result<bool, Error> {
        let Refreshed { credential, issued, health } = refreshed;
        let transaction = self.database.begin().await?;
        keys::hold(&*transaction, &credential.bytes).await?;
        let found = Self::locked(&transaction, team, id).await?;
        let before = rows::stored(credential.version - 1, "credential version")?;
        let fence = rows::stored(fence.0, "fencing token")?;
        let Some(row) = found.filter(|row| {
            row.deleted_at.is_none()
                && row.credential_version == before
                && row.refresh_fence == fence
        }) else {
            return Ok(false);
        };
        let before = rows::connection(row)?;
        let change = connection::ActiveModel {
            credential: Set(Some(credential.bytes.clone())),
            credential_version: Set(rows::stored(credential.version, "credential version")?),
            ..rows::issued(issued, health_columns(health))?
        };
        connection::Entity::update_many()
            .set(change)
            .filter(connection::Column::Id.eq(id.as_uuid()))
            .exec(&*transaction)
            .await?;
        if before.health != *health {
            append(&*transaction, &changed(&before)).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn fail_refresh(
        &self,
        team: TeamId,
        id: ConnectionId,
        fence: Fence,
        health: &Health,
        refresh_at: Option<OffsetDateTime>,
        changed: EntryOf<'_>,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        let found = Self::locked(&transaction, team, id).await?;
        let fence = rows::stored(fence.0, "fencing token")?;
        let Some(row) = found.filter(|row| {
            row.deleted_at.is_none() && row.refresh_state != IDLE && row.refresh_fence == fence
        }) else {
            return Ok(false);
        };
        let before = rows::connection(row)?;
        let change = connection::ActiveModel {
            refresh_at: Set(refresh_at.map(micros)),
            ..health_columns(health)
        };
        connection::Entity::update_many()
            .set(change)
            .filter(connection::Column::Id.eq(id.as_uuid()))
            .exec(&*transaction)
            .await?;
        if before.health != *health {
            append(&*transaction, &changed(&before)).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn due_refreshes(
        &self,
        now: OffsetDateTime,
        limit: u64,
    ) -> Result<Vec<(TeamId, ConnectionId)>, Error> {
        let now = micros(now);
        let running = Status::ALL.into_iter().filter(|status| status.may_run());
        let due = Condition::all()
            .add(connection::Column::RefreshAt.lte(now))
            .add(connection::Column::Status.is_in(running.map(Status::as_str)));
        let lapsed = Condition::any()
            .add(connection::Column::RefreshUntil.is_null())
            .add(connection::Column::RefreshUntil.lte(now));
        let found: Vec<(uuid::Uuid, uuid::Uuid)> = connection::Entity::find()
            .select_only()
            .column(connection::Column::TeamId)
            .column(connection::Column::Id)
            .filter(connection::Column::DeletedAt.is_null())
            .filter(Condition::any().add(due).add(connection::Column::RefreshState.eq(EXCHANGING)))
            .filter(lapsed)
            .order_by(connection::Column::RefreshAt, Order::Asc)
            .limit(limit)
            .into_tuple()
            .all(self.database.read())
            .await?;
        let ids = |(team, id)| (TeamId::from_uuid(team), ConnectionId::from_uuid(id));
        Ok(found.into_iter().map(ids).collect())
    }

    async fn replace_credential(
        &self,
        connection: &Connection,
        credential: &SealedCredential,
        entry: EntryOf<'_>,
    ) -> Result<bool, Error> {
        let Some(issued) = &connection.issued else { return Ok(false) };
        let transaction = self.database.begin().await?;
        keys::hold(&*transaction, &credential.bytes).await?;
        let integration =
            Self::locked_integration(&transaction, connection.team, issued.integration).await?;
        let usable = integration.is_some_and(|row| {
            row.deleted_at.is_none() && row.status == integration::Status::Configured.as_str()
        });
        let found = Self::locked(&transaction, connection.team, connection.id).await?;
        let before = rows::stored(credential.version - 1, "credential version")?;
        let Some(row) = found
            .filter(|row| usable && row.deleted_at.is_none() && row.credential_version == before)
        else {
            return Ok(false);
        };
        let fence = row.refresh_fence + 1;
        let before = rows::connection(row)?;
        let change = connection::ActiveModel {
            credential: Set(Some(credential.bytes.clone())),
            credential_version: Set(rows::stored(credential.version, "credential version")?),
            refresh_fence: Set(fence),
            ..rows::issued(issued, health_columns(&connection.health))?
        };
        connection::Entity::update_many()
            .set(change)
            .filter(connection::Column::Id.eq(connection.id.as_uuid()))
            .exec(&*transaction)
            .await?;
        append(&*transaction, &entry(&before)).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
