//! Registered followers.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "followers")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) incarnation: Uuid,
    pub(crate) role: String,
    pub(crate) since: i64,
    pub(crate) lease_ttl_ms: i64,
    pub(crate) answered_at: i64,
    pub(crate) retiring: bool,
    pub(crate) local: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
