//! Changes on their way to issuance, and what it answered.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub(crate) struct Model {
    /// The order. Rows of one scope are inserted under the lock of what the scope names, so within
    /// a scope it is the order of commits.
    #[sea_orm(primary_key)]
    pub(crate) number: i64,
    pub(crate) operation_id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) scope_kind: String,
    pub(crate) scope_id: Uuid,
    pub(crate) usable: bool,
    pub(crate) settled_at: Option<i64>,
    pub(crate) seq: Option<i64>,
    pub(crate) acknowledged: Option<i64>,
    pub(crate) waited_out: Option<i64>,
    pub(crate) elapsed: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
