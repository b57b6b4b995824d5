//! The trail.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) actor_label: String,
    pub(crate) action: String,
    pub(crate) subject_id: String,
    pub(crate) subject_label: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) request_id: String,
    pub(crate) source_ip: String,
    pub(crate) acknowledged: Option<i32>,
    pub(crate) waited_out: Option<i32>,
    pub(crate) elapsed_us: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
