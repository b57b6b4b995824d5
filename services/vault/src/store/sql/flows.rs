//! Connect flows in SQL.

use async_trait::async_trait;
use keystile_domain::IntegrationId;
use keystile_sql::micros;
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set,
    sea_query::{Expr, ExprTrait},
};
use time::OffsetDateTime;

use super::{SqlStore, keys, rows};
use crate::{
    connect::{Flow, FlowId},
    oauth::random::Digest,
    store::{Error, entity::flow, flows::FlowStore},
};

#[async_trait]
impl FlowStore for SqlStore {
    async fn insert_flow(&self, flow: &Flow, ticket: &Digest) -> Result<(), Error> {
        let transaction = self.database.begin().await?;
        let row = flow::ActiveModel { ticket: Set(Some(ticket.to_vec())), ..rows::new_flow(flow)? };
        flow::Entity::insert(row).exec_without_returning(&*transaction).await?;
        transaction.commit().await
    }

    async fn open_flow(
        &self,
        integration: IntegrationId,
        ticket: &Digest,
        cookie: &Digest,
        now: OffsetDateTime,
    ) -> Result<Option<Flow>, Error> {
        let transaction = self.database.begin().await?;
        let opened = flow::Entity::update_many()
            .col_expr(flow::Column::Ticket, Expr::value(Option::<Vec<u8>>::None))
            .col_expr(flow::Column::Cookie, Expr::value(cookie.to_vec()))
            .filter(flow::Column::Ticket.eq(ticket.to_vec()))
            .filter(flow::Column::IntegrationId.eq(integration.as_uuid()))
            .filter(flow::Column::ExpiresAt.gt(micros(now)))
            .exec_with_returning(&*transaction)
            .await?;
        transaction.commit().await?;
        opened.into_iter().next().map(rows::flow).transpose()
    }

    async fn flow_of_cookie(
        &self,
        integration: IntegrationId,
        cookie: &Digest,
        now: OffsetDateTime,
    ) -> Result<Option<Flow>, Error> {
        let found = flow::Entity::find()
            .filter(flow::Column::Cookie.eq(cookie.to_vec()))
            .filter(flow::Column::IntegrationId.eq(integration.as_uuid()))
            .filter(flow::Column::ExpiresAt.gt(micros(now)))
            .one(self.database.read())
            .await?;
        found.map(rows::flow).transpose()
    }

    async fn begin_flow(
        &self,
        id: FlowId,
        attempt: u64,
        state: &Digest,
        secret: &[u8],
    ) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        keys::hold(&*transaction, secret).await?;
        let attempt = rows::stored(attempt, "attempt")?;
        let begun = flow::Entity::update_many()
            .col_expr(flow::Column::Attempt, Expr::value(attempt))
            .col_expr(flow::Column::State, Expr::value(state.to_vec()))
            .col_expr(flow::Column::Secret, Expr::value(secret.to_vec()))
            .filter(flow::Column::Id.eq(id.0))
            .filter(flow::Column::Attempt.eq(attempt - 1))
            .filter(flow::Column::Cookie.is_not_null())
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(begun.rows_affected == 1)
    }

    async fn end_flow(
        &self,
        integration: IntegrationId,
        cookie: &Digest,
        state: &Digest,
    ) -> Result<Option<(Flow, Vec<u8>)>, Error> {
        let transaction = self.database.begin().await?;
        let found = flow::Entity::find()
            .filter(flow::Column::State.eq(state.to_vec()))
            .filter(flow::Column::Cookie.eq(cookie.to_vec()))
            .filter(flow::Column::IntegrationId.eq(integration.as_uuid()))
            .lock_exclusive()
            .one(&*transaction)
            .await?;
        let Some(mut row) = found else { return Ok(None) };
        let secret = row.secret.take().ok_or(Error::Corrupt("connect flow"))?;
        // Of two with the same state only the first finds the row.
        let ended = flow::Entity::delete_by_id(row.id).exec(&*transaction).await?;
        if ended.rows_affected == 0 {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some((rows::flow(row)?, secret)))
    }

    async fn prune_flows(&self, before: OffsetDateTime) -> Result<u64, Error> {
        let transaction = self.database.begin().await?;
        let pruned = flow::Entity::delete_many()
            .filter(Expr::col(flow::Column::ExpiresAt).lt(micros(before)))
            .exec(&*transaction)
            .await?;
        transaction.commit().await?;
        Ok(pruned.rows_affected)
    }
}
