//! Connections. A deleted one keeps its row, without a credential.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connections")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) app_key: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) status_reason: String,
    pub(crate) scheme: String,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) deleted_at: Option<i64>,
    /// The operation that carries its deletion to issuance.
    pub(crate) deletion: Option<Uuid>,
    pub(crate) credential: Option<Vec<u8>>,
    pub(crate) credential_version: i64,
    pub(crate) integration_id: Option<Uuid>,
    /// A JSON array, if a provider issued the credential.
    pub(crate) scopes: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) refresh_at: Option<i64>,
    /// The fencing token of the last claim.
    pub(crate) refresh_fence: i64,
    /// `idle`, `claimed` or `exchanging`.
    pub(crate) refresh_state: String,
    /// When the claim lapses.
    pub(crate) refresh_until: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
