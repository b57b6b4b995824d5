//! Keys. A deleted one keeps its row.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) kid: String,
    pub(crate) name: String,
    /// What filters and sorting see of the name.
    pub(crate) name_folded: String,
    pub(crate) description: String,
    pub(crate) environment: String,
    pub(crate) status: String,
    pub(crate) deleted_at: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    /// JSON.
    pub(crate) ip_allow_list: String,
    /// JSON.
    pub(crate) limits: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) created_by: Option<Uuid>,
    pub(crate) version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
