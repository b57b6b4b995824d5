//! The log.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "log")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) nonce: Uuid,
    pub(crate) previous_nonce: Uuid,
    pub(crate) scope_kind: String,
    pub(crate) scope_id: Uuid,
    pub(crate) kind: String,
    pub(crate) cut: bool,
    pub(crate) operation_id: Uuid,
    pub(crate) created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
