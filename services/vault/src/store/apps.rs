//! Apps of teams at rest.

use async_trait::async_trait;
use keystile_domain::{AppKey, TeamId};

use super::Error;
use crate::{apps::OwnApp, audit};

/// Where vault keeps the apps that teams add. Versions are only ever added.
#[async_trait]
pub(crate) trait AppStore: Send + Sync + 'static {
    /// The newest version of an app; `None` if there is none, or it was removed.
    async fn app_version(&self, team: TeamId, key: &AppKey) -> Result<Option<u64>, Error>;

    /// That version, or the newest, which may be the removal.
    async fn find_app(
        &self,
        team: TeamId,
        key: &AppKey,
        version: Option<u64>,
    ) -> Result<Option<OwnApp>, Error>;

    /// The newest version of each app that was not removed, by key, without the documents.
    async fn current_apps(&self, team: TeamId) -> Result<Vec<OwnApp>, Error>;

    /// Adds a version with its entry. False, and nothing happened, if the one before it is not the
    /// newest.
    async fn insert_app(&self, own: &OwnApp, entry: &audit::Entry) -> Result<bool, Error>;

    /// Does the team have connections or integrations of that app?
    async fn app_is_used(&self, team: TeamId, key: &AppKey) -> Result<bool, Error>;
}
