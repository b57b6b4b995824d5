//! One transaction.

use async_trait::async_trait;
use keystile_domain::{Grant, Incarnation, KeyId, OperationId, Scope, TeamId, log::LogRow};
use keystile_sql::{self as sql, Transaction, micros};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use time::OffsetDateTime;

use super::{
    super::{
        AuditRecord, Epoch, FollowerRecord, KeyRecord, Operation, ScopeStatus, SecretRecord,
        TeamRecord, Tx,
    },
    EPOCH, audit, epoch, follower, grant, key, log, mark, operation,
    rows::{self, stored},
    scope_status, secret, seq, team,
};
use crate::Error;

pub(super) struct SqlTx(pub(super) Transaction);

/// `instead` of a unique violation; any other failure as it is.
fn taken(cause: sea_orm::DbErr, instead: Error) -> Error {
    match sql::Error::from(cause) {
        sql::Error::UniqueViolation => instead,
        other => other.into(),
    }
}

impl SqlTx {
    fn database(&self) -> &impl ConnectionTrait {
        &*self.0
    }

    async fn replace_grants(
        &self,
        key: KeyId,
        before: &[Grant],
        after: &[Grant],
    ) -> Result<(), Error> {
        let gone = before.iter().filter(|grant| !after.contains(grant));
        let gone: Vec<_> = gone.map(|grant| grant.app().to_string()).collect();
        if !gone.is_empty() {
            grant::Entity::delete_many()
                .filter(grant::Column::KeyId.eq(key.as_uuid()))
                .filter(grant::Column::AppKey.is_in(gone))
                .exec(self.database())
                .await?;
        }
        for new in after.iter().filter(|grant| !before.contains(grant)) {
            grant::Entity::insert(rows::new_grant(key, new))
                .exec_without_returning(self.database())
                .await?;
        }
        Ok(())
    }

    async fn replace_secrets(
        &self,
        key: KeyId,
        before: &[SecretRecord],
        after: &[SecretRecord],
    ) -> Result<(), Error> {
        let gone = before.iter().filter(|secret| !after.contains(secret));
        let gone: Vec<_> = gone.map(|secret| secret.id.as_uuid()).collect();
        if !gone.is_empty() {
            secret::Entity::delete_many()
                .filter(secret::Column::KeyId.eq(key.as_uuid()))
                .filter(secret::Column::Id.is_in(gone))
                .exec(self.database())
                .await?;
        }
        for new in after.iter().filter(|secret| !before.contains(secret)) {
            secret::Entity::insert(rows::new_secret(key, new))
                .exec_without_returning(self.database())
                .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Tx for SqlTx {
    async fn commit(self: Box<Self>) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }

    async fn lock_epoch(&mut self) -> Result<Epoch, Error> {
        // An update takes the row's lock on both databases; what is read next is as of after it.
        epoch::Entity::update_many()
            .col_expr(epoch::Column::Head, Expr::col(epoch::Column::Head).add(0))
            .filter(epoch::Column::Id.eq(EPOCH))
            .exec(self.database())
            .await?;
        super::epoch(self.database()).await
    }

    async fn append(&mut self, row: &LogRow, at: OffsetDateTime) -> Result<(), Error> {
        epoch::Entity::update_many()
            .col_expr(epoch::Column::Head, Expr::val(stored(row.seq)))
            .col_expr(epoch::Column::Nonce, Expr::val(mark(row.nonce)))
            .filter(epoch::Column::Id.eq(EPOCH))
            .exec(self.database())
            .await?;
        log::Entity::insert(rows::new_log_row(row, at))
            .exec_without_returning(self.database())
            .await?;
        Ok(())
    }

    async fn insert_operation(&mut self, operation: &Operation) -> Result<(), Error> {
        operation::Entity::insert(rows::new_operation(operation))
            .exec_without_returning(self.database())
            .await?;
        Ok(())
    }

    async fn operation(
        &mut self,
        team: TeamId,
        id: OperationId,
    ) -> Result<Option<Operation>, Error> {
        super::operation(self.database(), team, id).await
    }

    async fn last_cut(&mut self, team: TeamId, scope: Scope) -> Result<Option<Operation>, Error> {
        let (kind, id) = rows::scope(scope);
        let row = operation::Entity::find()
            .filter(operation::Column::TeamId.eq(team.as_uuid()))
            .filter(operation::Column::ScopeKind.eq(kind))
            .filter(operation::Column::ScopeId.eq(id))
            .filter(operation::Column::Cut.eq(true))
            .order_by_desc(operation::Column::Seq)
            .one(self.database())
            .await?;
        row.map(|row| rows::operation(&row)).transpose()
    }

    async fn insert_audit(&mut self, row: &AuditRecord) -> Result<(), Error> {
        audit::Entity::insert(rows::new_audit(row)).exec_without_returning(self.database()).await?;
        Ok(())
    }

    async fn team(&mut self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        super::team(self.database(), id).await
    }

    async fn insert_team(&mut self, record: &TeamRecord) -> Result<(), Error> {
        team::Entity::insert(rows::new_team(record))
            .exec_without_returning(self.database())
            .await
            .map(drop)
            .map_err(|cause| taken(cause, Error::TeamExists))
    }

    async fn update_team(&mut self, record: &TeamRecord) -> Result<(), Error> {
        team::Entity::update_many()
            .set(rows::new_team(record))
            .filter(team::Column::Id.eq(record.id.as_uuid()))
            .exec(self.database())
            .await?;
        Ok(())
    }

    async fn count_keys(&mut self, team: TeamId) -> Result<u64, Error> {
        super::count_keys(self.database(), team).await
    }

    async fn key(&mut self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        super::find_key(self.database(), team, id).await
    }

    async fn insert_key(&mut self, record: &KeyRecord) -> Result<(), Error> {
        key::Entity::insert(rows::new_key(record)).exec_without_returning(self.database()).await?;
        self.replace_grants(record.id, &[], &record.grants).await?;
        self.replace_secrets(record.id, &[], &record.secrets).await
    }

    async fn update_key(&mut self, before: &KeyRecord, after: &KeyRecord) -> Result<(), Error> {
        let updated = key::Entity::update_many()
            .set(rows::new_key(after))
            .filter(key::Column::Id.eq(before.id.as_uuid()))
            .filter(key::Column::TeamId.eq(before.team.as_uuid()))
            .filter(key::Column::Version.eq(before.version))
            .exec(self.database())
            .await?;
        if updated.rows_affected != 1 {
            return Err(Error::ChangedMeanwhile);
        }
        self.replace_grants(after.id, &before.grants, &after.grants).await?;
        self.replace_secrets(after.id, &before.secrets, &after.secrets).await
    }

    async fn put_scope_status(&mut self, status: &ScopeStatus) -> Result<(), Error> {
        let (kind, id) = rows::scope(status.scope);
        let row = scope_status::ActiveModel {
            team_id: sea_orm::Set(status.team.as_uuid()),
            scope_kind: sea_orm::Set(kind.to_owned()),
            scope_id: sea_orm::Set(id),
            usable: sea_orm::Set(status.usable),
        };
        let key = [
            scope_status::Column::TeamId,
            scope_status::Column::ScopeKind,
            scope_status::Column::ScopeId,
        ];
        let replace =
            OnConflict::columns(key).update_column(scope_status::Column::Usable).to_owned();
        scope_status::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(self.database())
            .await?;
        Ok(())
    }

    async fn scope_usable(&mut self, team: TeamId, scope: Scope) -> Result<Option<bool>, Error> {
        let (kind, id) = rows::scope(scope);
        let row = scope_status::Entity::find_by_id((team.as_uuid(), kind.to_owned(), id))
            .one(self.database())
            .await?;
        Ok(row.map(|row| row.usable))
    }

    async fn followers(&mut self) -> Result<Vec<FollowerRecord>, Error> {
        super::followers(self.database()).await
    }

    async fn insert_follower(&mut self, record: &FollowerRecord) -> Result<(), Error> {
        follower::Entity::insert(rows::new_follower(record))
            .exec_without_returning(self.database())
            .await
            .map(drop)
            .map_err(|cause| taken(cause, Error::IncarnationExists))
    }

    async fn mark_retiring(&mut self, silent_since: OffsetDateTime) -> Result<(), Error> {
        follower::Entity::update_many()
            .col_expr(follower::Column::Retiring, Expr::val(true))
            .filter(follower::Column::AnsweredAt.lt(micros(silent_since)))
            .exec(self.database())
            .await?;
        Ok(())
    }

    async fn remove_followers(&mut self, ids: &[Incarnation]) -> Result<(), Error> {
        follower::Entity::delete_many()
            .filter(follower::Column::Incarnation.is_in(ids.iter().map(|id| id.as_uuid())))
            .exec(self.database())
            .await?;
        Ok(())
    }

    async fn floor(&mut self, at: OffsetDateTime) -> Result<u64, Error> {
        let last: Option<Option<i64>> = log::Entity::find()
            .select_only()
            .column_as(log::Column::Seq.max(), "last")
            .filter(log::Column::CreatedAt.lt(micros(at)))
            .into_tuple()
            .one(self.database())
            .await?;
        last.flatten().map_or(Ok(0), seq)
    }
}
