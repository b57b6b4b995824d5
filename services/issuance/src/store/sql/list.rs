//! A page of keys.

use keystile_sql::micros;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, Order, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, LikeExpr},
};

use super::{
    super::{
        After, KeyQuery, KeyRecord, KeySort,
        entity::{grant, key},
    },
    with_parts,
};
use crate::Error;

/// A pattern that matches `part` anywhere, literally.
fn containing(part: &str) -> LikeExpr {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

/// A page of keys, in three queries: keys, secrets, grants.
pub(super) async fn keys(
    database: &impl ConnectionTrait,
    query: &KeyQuery,
) -> Result<Vec<KeyRecord>, Error> {
    let (column, order) = match query.sort {
        KeySort::CreatedDesc => (key::Column::CreatedAt, Order::Desc),
        KeySort::CreatedAsc => (key::Column::CreatedAt, Order::Asc),
        KeySort::NameAsc => (key::Column::NameFolded, Order::Asc),
        KeySort::NameDesc => (key::Column::NameFolded, Order::Desc),
    };
    let mut found = key::Entity::find()
        .filter(key::Column::TeamId.eq(query.team.as_uuid()))
        .filter(key::Column::DeletedAt.is_null())
        .order_by(column, order.clone())
        .order_by(key::Column::Id, order.clone())
        .limit(query.limit);
    if let Some(part) = &query.name_contains {
        found = found.filter(Expr::col(key::Column::NameFolded).like(containing(part)));
    }
    if let Some(environment) = query.environment {
        found = found.filter(key::Column::Environment.eq(environment.as_str()));
    }
    if let Some(status) = query.status {
        found = found.filter(key::Column::Status.eq(status.as_str()));
    }
    if let Some(app) = &query.app {
        let with = grant::Entity::find()
            .select_only()
            .column(grant::Column::KeyId)
            .filter(grant::Column::AppKey.eq(app.as_str()));
        found = found.filter(key::Column::Id.in_subquery(with.into_query()));
    }
    if let Some(after) = &query.after {
        let (value, id) = match after {
            After::Created(at, id) => (Expr::val(micros(*at)), id.as_uuid()),
            After::Name(name, id) => (Expr::val(name.as_str()), id.as_uuid()),
        };
        let beyond = |column: key::Column, value: Expr| match order {
            Order::Desc => Expr::col(column).lt(value),
            _ => Expr::col(column).gt(value),
        };
        found = found.filter(
            Condition::any().add(beyond(column, value.clone())).add(
                Condition::all()
                    .add(Expr::col(column).eq(value))
                    .add(beyond(key::Column::Id, Expr::val(id))),
            ),
        );
    }
    let keys = found.all(database).await?;
    with_parts(database, keys).await
}
