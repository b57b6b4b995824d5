//! Apps: those that Keystile ships, the same for all, and those that a team has added for itself.

mod add;
mod client;
mod fetch;
mod read;
mod remove;

use std::sync::Arc;

use keystile_catalog::{App, Report};
use keystile_domain::{AppKey, TeamId};
use moka::sync::Cache;
use time::OffsetDateTime;

use crate::{error::Error, vault::Vault};
pub(crate) use add::Add;

/// Apps that one team may have.
pub(crate) const MOST: usize = 100;
/// Versions that are kept parsed.
const PARSED: u64 = 256;

/// One version of an app that a team added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnApp {
    pub(crate) team: TeamId,
    pub(crate) key: AppKey,
    /// From 1, without gaps.
    pub(crate) version: u64,
    /// As it was added; `None`: this version is that the app was removed.
    pub(crate) document: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    /// By whom, as people know them.
    pub(crate) created_by: String,
}

/// The versions that were used lately.
pub(crate) struct Parsed(Cache<(TeamId, AppKey, u64), Arc<App>>);

impl Default for Parsed {
    fn default() -> Self {
        Self(Cache::new(PARSED))
    }
}

impl Vault {
    /// The app of that key, as the team has it now.
    pub(crate) async fn app(&self, team: TeamId, key: &AppKey) -> Result<Arc<App>, Error> {
        self.find_app(team, key).await?.ok_or(Error::UnknownApp)
    }

    /// The same, if there is one.
    pub(crate) async fn find_app(
        &self,
        team: TeamId,
        key: &AppKey,
    ) -> Result<Option<Arc<App>>, Error> {
        if let Some(app) = self.catalog.app(key) {
            return Ok(Some(Arc::clone(app)));
        }
        // Asked for each time: another vault may have stored the next version a moment ago.
        let Some(version) = self.store.app_version(team, key).await? else { return Ok(None) };
        let known = (team, key.clone(), version);
        if let Some(app) = self.parsed.0.get(&known) {
            return Ok(Some(app));
        }
        let found = self.store.find_app(team, key, Some(version)).await?;
        let Some(document) = found.and_then(|own| own.document) else { return Ok(None) };
        let (app, _) = parse(key.clone(), document).await?;
        self.parsed.0.insert(known, Arc::clone(&app));
        Ok(Some(app))
    }
}

/// Reads a document, which may take a while.
async fn parse(key: AppKey, document: String) -> Result<(Arc<App>, Report), Error> {
    let parsed = tokio::task::spawn_blocking(move || App::parse(key, &document));
    match parsed.await {
        Ok(Ok((app, report))) => Ok((Arc::new(app), report)),
        Ok(Err(error)) => Err(Error::field("document", error.to_string())),
        Err(_) => Err(Error::field("document", "cannot be read")),
    }
}
