//! Integrations. A deleted one keeps its row, without a client.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "integrations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) app_key: String,
    pub(crate) name: String,
    pub(crate) grant_type: String,
    pub(crate) client_id: String,
    pub(crate) has_secret: bool,
    /// A JSON array.
    pub(crate) scopes: String,
    /// A JSON array.
    pub(crate) return_urls: String,
    pub(crate) status: String,
    pub(crate) status_reason: String,
    pub(crate) created_at: i64,
    pub(crate) version: i64,
    pub(crate) client: Option<Vec<u8>>,
    pub(crate) client_version: i64,
    /// The operation that carries the last of disabling, enabling and deleting to issuance.
    pub(crate) switched_by: Option<Uuid>,
    pub(crate) deleted_at: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Integration").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
