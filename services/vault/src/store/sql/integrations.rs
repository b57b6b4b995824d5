//! Integrations in SQL.

use async_trait::async_trait;
use keystile_domain::{IntegrationId, OperationId, Scope, TeamId};
use keystile_sql::{Transaction, micros};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{SqlStore, append, keys, rows};
use crate::{
    audit::Entry,
    integration::{Integration, Status},
    store::{
        Error, OutboxRow, SealedCredential,
        entity::{connection, integration, outbox},
        integrations::{Deletion, IntegrationEntryOf, IntegrationPage, IntegrationStore},
    },
};

impl SqlStore {
    /// The team's integration with that id, deleted or not, locked against other writers.
    pub(super) async fn locked_integration(
        transaction: &Transaction,
        team: TeamId,
        id: IntegrationId,
    ) -> Result<Option<integration::Model>, Error> {
        Ok(integration::Entity::find_by_id(id.as_uuid())
            .filter(integration::Column::TeamId.eq(team.as_uuid()))
            .lock_exclusive()
            .one(&**transaction)
            .await?)
    }
}

async fn carried(
    transaction: &Transaction,
    operation: Option<Uuid>,
) -> Result<Option<OutboxRow>, Error> {
    let Some(operation) = operation else { return Ok(None) };
    let row = outbox::Entity::find()
        .filter(outbox::Column::OperationId.eq(operation))
        .one(&**transaction)
        .await?;
    row.as_ref().map(rows::outbox).transpose()
}

#[async_trait]
impl IntegrationStore for SqlStore {
    async fn insert_integration(
        &self,
        integration: &Integration,
        client: &SealedCredential,
        entry: &Entry,
    ) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        keys::hold(&*transaction, &client.bytes).await?;
        integration::Entity::insert(rows::new_integration(integration, client)?)
            .exec_without_returning(&*transaction)
            .await?;
        append(&*transaction, entry).await?;
        transaction.commit().await
    }

    async fn find_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
    ) -> Result<Option<(Integration, SealedCredential)>, Error> {
        let found = integration::Entity::find_by_id(id.as_uuid())
            .filter(integration::Column::TeamId.eq(team.as_uuid()))
            .filter(integration::Column::DeletedAt.is_null())
            .one(self.database.read())
            .await?;
        let Some(mut row) = found else { return Ok(None) };
        let client = rows::client(&mut row)?;
        Ok(Some((rows::integration(row)?, client)))
    }

    async fn list_integrations(
        &self,
        team: TeamId,
        page: &IntegrationPage,
    ) -> Result<Vec<Integration>, Error> {
        let mut query = integration::Entity::find()
            .filter(integration::Column::TeamId.eq(team.as_uuid()))
            .filter(integration::Column::DeletedAt.is_null());
        if let Some(app) = &page.app {
            query = query.filter(integration::Column::AppKey.eq(app.as_str()));
        }
        if let Some(before) = page.before {
            query = query.filter(integration::Column::Id.lt(before.as_uuid()));
        }
        let found = query
            .order_by_desc(integration::Column::Id)
            .limit(page.limit)
            .all(self.database.read())
            .await?;
        found.into_iter().map(rows::integration).collect()
    }

    async fn disabled_integrations(&self, team: TeamId) -> Result<Vec<IntegrationId>, Error> {
        let found: Vec<Uuid> = integration::Entity::find()
            .select_only()
            .column(integration::Column::Id)
            .filter(integration::Column::TeamId.eq(team.as_uuid()))
            .filter(integration::Column::DeletedAt.is_null())
            .filter(integration::Column::Status.eq(Status::Disabled.as_str()))
            .into_tuple()
            .all(self.database.read())
            .await?;
        Ok(found.into_iter().map(IntegrationId::from_uuid).collect())
    }

    async fn update_integration(
        &self,
        after: &Integration,
        client: &SealedCredential,
        entry: &Entry,
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        keys::hold(&*transaction, &client.bytes).await?;
        let version = rows::stored(after.version - 1, "version")?;
        let mut row = rows::new_integration(after, client)?;
        // What carried its last switch stays.
        row.switched_by = sea_orm::NotSet;
        let updated = integration::Entity::update_many()
            .set(row)
            .filter(integration::Column::Id.eq(after.id.as_uuid()))
            .filter(integration::Column::TeamId.eq(after.team.as_uuid()))
            .filter(integration::Column::Version.eq(version))
            .filter(integration::Column::DeletedAt.is_null())
            .exec(&*transaction)
            .await?;
        if updated.rows_affected == 0 {
            return Ok(false);
        }
        append(&*transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn switch_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
        to: Status,
        operation: OperationId,
        entry: IntegrationEntryOf<'_>,
    ) -> Result<Option<(Integration, Option<OutboxRow>)>, Error> {
        let transaction = self.database.begin().await?;
        let found = Self::locked_integration(&transaction, team, id).await?;
        let Some(row) = found.filter(|row| row.deleted_at.is_none()) else { return Ok(None) };
        let switched_by = row.switched_by;
        let before = rows::integration(row)?;
        let disabled = to == Status::Disabled;
        if disabled == (before.status == Status::Disabled) {
            let known = carried(&transaction, switched_by).await?;
            return Ok(Some((before, known)));
        }
        let after = Integration { status: to, version: before.version + 1, ..before.clone() };
        integration::Entity::update_many()
            .col_expr(integration::Column::Status, Expr::value(to.as_str()))
            .col_expr(
                integration::Column::Version,
                Expr::value(rows::stored(after.version, "version")?),
            )
            .col_expr(integration::Column::SwitchedBy, Expr::value(operation.as_uuid()))
            .filter(integration::Column::Id.eq(id.as_uuid()))
            .exec(&*transaction)
            .await?;
        let change = rows::new_outbox(operation, team, Scope::Integration(id), !disabled);
        let inserted = change.insert(&*transaction).await?;
        append(&*transaction, &entry(&before)).await?;
        transaction.commit().await?;
        Ok(Some((after, Some(rows::outbox(&inserted)?))))
    }

    async fn delete_integration(
        &self,
        team: TeamId,
        id: IntegrationId,
        operation: OperationId,
        at: OffsetDateTime,
        entry: IntegrationEntryOf<'_>,
    ) -> Result<Option<Deletion>, Error> {
        let transaction = self.database.begin().await?;
        let found = Self::locked_integration(&transaction, team, id).await?;
        let Some(row) = found else { return Ok(None) };
        if row.deleted_at.is_some() {
            let known = carried(&transaction, row.switched_by).await?;
            return Ok(known.map(Deletion::Gone));
        }
        let connections = connection::Entity::find()
            .filter(connection::Column::IntegrationId.eq(id.as_uuid()))
            .filter(connection::Column::DeletedAt.is_null())
            .count(&*transaction)
            .await?;
        if connections > 0 {
            return Ok(Some(Deletion::InUse));
        }
        let noise = vec![0_u8; row.client.as_ref().map_or(0, Vec::len)];
        let before = rows::integration(row)?;
        let this =
            || integration::Entity::update_many().filter(integration::Column::Id.eq(id.as_uuid()));
        // Overwritten in place first, as connections are.
        this()
            .col_expr(integration::Column::Client, Expr::value(noise))
            .exec(&*transaction)
            .await?;
        this()
            .col_expr(integration::Column::Client, Expr::value(Option::<Vec<u8>>::None))
            .col_expr(integration::Column::DeletedAt, Expr::value(micros(at)))
            .col_expr(integration::Column::SwitchedBy, Expr::value(operation.as_uuid()))
            .exec(&*transaction)
            .await?;
        let cut = rows::new_outbox(operation, team, Scope::Integration(id), false);
        let inserted = cut.insert(&*transaction).await?;
        append(&*transaction, &entry(&before)).await?;
        transaction.commit().await?;
        Ok(Some(Deletion::Gone(rows::outbox(&inserted)?)))
    }
}
