//! Grants, one a key and app.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grants")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) app_key: String,
    pub(crate) connection_id: Option<Uuid>,
    pub(crate) integration_id: Option<Uuid>,
    /// JSON.
    pub(crate) components: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
