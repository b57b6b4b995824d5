//! Apps: those that Keystile ships, the same for all, and those that a team has added for itself.

mod add;
mod fetch;
mod read;
mod remove;

use std::sync::Arc;

use keystile_catalog::{App, Report};
use keystile_contract::{
    Failure,
    proto::issuance::v1::{
        ReleaseComponentsRequest, ReleaseComponentsResponse, fact_service_client::FactServiceClient,
    },
};
use keystile_domain::{AppKey, ComponentId, TeamId};
use moka::sync::Cache;
use time::OffsetDateTime;

use crate::{audit::Who, error::Error, vault::Vault};
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

    /// Has issuance name the keys that hold these components of an app (none: all of it), and take
    /// them if forced.
    async fn release(
        &self,
        team: TeamId,
        app: &AppKey,
        components: &[ComponentId],
        force: bool,
        who: &Who,
        wait: std::time::Duration,
    ) -> Result<ReleaseComponentsResponse, Error> {
        let mut request = tonic::Request::new(ReleaseComponentsRequest {
            team_id: team.to_string(),
            app_key: app.to_string(),
            components: components.iter().map(ToString::to_string).collect(),
            force,
            actor: who.actor.clone(),
            actor_label: who.label.clone(),
            request_id: who.request_id.clone(),
            source_ip: who.source_ip.clone(),
        });
        request.set_timeout(wait);
        let mut issuance = FactServiceClient::new(self.issuance.clone());
        let call = tokio::time::timeout(wait, Box::pin(issuance.release_components(request)));
        let late = || {
            Failure::new(
                keystile_domain::ErrorKind::Unavailable,
                "unavailable",
                "issuance is too slow",
            )
        };
        let answer = call.await.map_err(|_| late())?.map_err(Failure::from)?;
        let answer = answer.into_inner();
        if answer.outcome.as_ref().is_some_and(|outcome| outcome.pending) {
            return Err(Error::CutPending);
        }
        Ok(answer)
    }
}

/// Refuses what keys still hold.
fn refuse_held(answer: &ReleaseComponentsResponse) -> Result<(), Error> {
    if answer.holder_count == 0 {
        return Ok(());
    }
    let names = answer.holders.iter().map(|holder| format!("{} ({})", holder.name, holder.key_id));
    let names = names.collect::<Vec<_>>().join(", ");
    Err(Error::ComponentsInUse { count: answer.holder_count, names })
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
