//! Connect flows. Of its texts for the browser a flow keeps digests only.

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connect_flows")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) team_id: Uuid,
    pub(crate) integration_id: Uuid,
    pub(crate) connection_id: Option<Uuid>,
    pub(crate) name: String,
    /// A JSON object.
    pub(crate) variables: String,
    pub(crate) actor: String,
    pub(crate) actor_label: String,
    pub(crate) request_id: String,
    pub(crate) source_ip: String,
    pub(crate) return_url: String,
    pub(crate) expires_at: i64,
    pub(crate) ticket: Option<Vec<u8>>,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) attempt: i64,
    /// The sealed PKCE verifier of the last attempt.
    pub(crate) secret: Option<Vec<u8>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectFlow").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
