//! Apps of teams in SQL.

use async_trait::async_trait;
use keystile_domain::{AppKey, TeamId};
use keystile_sql::{from_micros, micros};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Alias, Expr, ExprTrait, Query},
};

use super::{SqlStore, append, rows};
use crate::{
    apps::OwnApp,
    audit::Entry,
    store::{
        Error,
        apps::AppStore,
        entity::{app, connection, integration},
    },
};

fn own(row: app::Model) -> Result<OwnApp, Error> {
    Ok(OwnApp {
        team: TeamId::from_uuid(row.team_id),
        key: row.app_key.parse().map_err(|_| Error::Corrupt("app key"))?,
        version: rows::read(row.version, "version")?,
        document: row.document,
        created_at: from_micros(row.created_at)?,
        created_by: row.created_by,
    })
}

#[async_trait]
impl AppStore for SqlStore {
    async fn app_version(&self, team: TeamId, key: &AppKey) -> Result<Option<u64>, Error> {
        let newest: Option<(i64, bool)> = app::Entity::find()
            .select_only()
            .column(app::Column::Version)
            .expr(Expr::col(app::Column::Document).is_not_null())
            .filter(app::Column::TeamId.eq(team.as_uuid()))
            .filter(app::Column::AppKey.eq(key.as_str()))
            .order_by_desc(app::Column::Version)
            .into_tuple()
            .one(self.database.read())
            .await?;
        let there = newest.filter(|(_, there)| *there);
        there.map(|(version, _)| rows::read(version, "version")).transpose()
    }

    async fn find_app(
        &self,
        team: TeamId,
        key: &AppKey,
        version: Option<u64>,
    ) -> Result<Option<OwnApp>, Error> {
        let mut query = app::Entity::find()
            .filter(app::Column::TeamId.eq(team.as_uuid()))
            .filter(app::Column::AppKey.eq(key.as_str()));
        if let Some(version) = version {
            query = query.filter(app::Column::Version.eq(rows::stored(version, "version")?));
        }
        let found = query.order_by_desc(app::Column::Version).one(self.database.read()).await?;
        found.map(own).transpose()
    }

    async fn current_apps(&self, team: TeamId) -> Result<Vec<OwnApp>, Error> {
        let later = Alias::new("later");
        let column = |column: app::Column| Expr::col((later.clone(), column));
        let own_column = |column: app::Column| Expr::col((app::Entity, column));
        let successor = Query::select()
            .expr(Expr::value(1))
            .from_as(app::Entity, later.clone())
            .and_where(column(app::Column::TeamId).eq(own_column(app::Column::TeamId)))
            .and_where(column(app::Column::AppKey).eq(own_column(app::Column::AppKey)))
            .and_where(column(app::Column::Version).gt(own_column(app::Column::Version)))
            .to_owned();
        let found: Vec<(String, i64, i64, String)> = app::Entity::find()
            .select_only()
            .column(app::Column::AppKey)
            .column(app::Column::Version)
            .column(app::Column::CreatedAt)
            .column(app::Column::CreatedBy)
            .filter(app::Column::TeamId.eq(team.as_uuid()))
            .filter(app::Column::Document.is_not_null())
            .filter(Expr::exists(successor).not())
            .order_by_asc(app::Column::AppKey)
            .into_tuple()
            .all(self.database.read())
            .await?;
        let without = |(app_key, version, created_at, created_by)| {
            let team_id = team.as_uuid();
            own(app::Model { team_id, app_key, version, document: None, created_at, created_by })
        };
        found.into_iter().map(without).collect()
    }

    async fn insert_app(&self, own: &OwnApp, entry: &Entry) -> Result<bool, Error> {
        let transaction = self.database.begin().await?;
        let newest: Option<i64> = app::Entity::find()
            .select_only()
            .column(app::Column::Version)
            .filter(app::Column::TeamId.eq(own.team.as_uuid()))
            .filter(app::Column::AppKey.eq(own.key.as_str()))
            .order_by_desc(app::Column::Version)
            .into_tuple()
            .one(&*transaction)
            .await?;
        let version = rows::stored(own.version, "version")?;
        if newest.unwrap_or(0) != version - 1 {
            return Ok(false);
        }
        let row = app::ActiveModel {
            team_id: Set(own.team.as_uuid()),
            app_key: Set(own.key.to_string()),
            version: Set(version),
            document: Set(own.document.clone()),
            created_at: Set(micros(own.created_at)),
            created_by: Set(own.created_by.clone()),
        };
        // Of two who add this version at once, the table's key lets one.
        match app::Entity::insert(row).exec_without_returning(&*transaction).await {
            Ok(_) => {}
            Err(error) => {
                return match Error::from(error) {
                    Error::UniqueViolation => Ok(false),
                    error => Err(error),
                };
            }
        }
        append(&*transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn app_is_used(&self, team: TeamId, key: &AppKey) -> Result<bool, Error> {
        let connections = connection::Entity::find()
            .filter(connection::Column::TeamId.eq(team.as_uuid()))
            .filter(connection::Column::AppKey.eq(key.as_str()))
            .filter(connection::Column::DeletedAt.is_null())
            .count(self.database.read())
            .await?;
        let integrations = integration::Entity::find()
            .filter(integration::Column::TeamId.eq(team.as_uuid()))
            .filter(integration::Column::AppKey.eq(key.as_str()))
            .filter(integration::Column::DeletedAt.is_null())
            .count(self.database.read())
            .await?;
        Ok(connections + integrations > 0)
    }
}
