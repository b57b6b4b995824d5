//! The apps that a team has now: those that Keystile ships, and those that it added itself, which
//! vault stores and this follows by version.
//!
//! Owns the copies that a role keeps of other teams' documents, how old they may be, and what is
//! done while vault does not answer.
//!
//! Never: decides what a key may do with an app, or stores one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keystile_catalog::{App, Catalog, limits::DOCUMENT_BYTES};
use keystile_contract::{
    Failure, Transport,
    proto::vault::v1::{
        FetchAppsRequest, FetchAppsResponse, FetchedApp, KnownApp,
        app_service_client::AppServiceClient,
    },
};
use keystile_domain::{AppKey, Clock, ErrorKind, TeamId, Tick};
use moka::sync::Cache;
use tokio::sync::Mutex;
use tonic::Request;

/// How old the copy of a team may be where nobody asks for a newer one.
pub const FRESH: Duration = Duration::from_secs(5);
/// How old it may be while vault does not answer.
const STALE: Duration = Duration::from_mins(10);
/// Teams whose copies are kept, and for how long after their last use.
const TEAMS: u64 = 1_000;
const IDLE: Duration = Duration::from_mins(30);
/// One question to vault.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Vault answers with so many bytes of documents and one more document.
const LARGEST_ANSWER: usize = 2 * DOCUMENT_BYTES + (1 << 20);

/// The apps of all teams. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Apps {
    shipped: Catalog,
    vault: AppServiceClient<Transport>,
    clock: Arc<dyn Clock>,
    teams: Cache<TeamId, Arc<Mutex<Copy>>>,
}

/// What is known of a team.
#[derive(Default)]
struct Copy {
    /// When the question was asked that this is the answer to.
    asked_at: Option<Tick>,
    versions: BTreeMap<AppKey, u64>,
    own: Catalog,
}

impl Apps {
    /// The apps that Keystile ships, and the way to those of teams.
    pub fn new(shipped: Catalog, vault: Transport, clock: Arc<dyn Clock>) -> Self {
        let vault = AppServiceClient::new(vault).max_decoding_message_size(LARGEST_ANSWER);
        let teams = Cache::builder().max_capacity(TEAMS).time_to_idle(IDLE).build();
        Self { shipped, vault, clock, teams }
    }

    /// The apps that Keystile ships.
    pub const fn shipped(&self) -> &Catalog {
        &self.shipped
    }

    /// The apps that a team added, as they were at most `age` before now; those of many who ask at
    /// once come from one question.
    ///
    /// # Errors
    /// Kind unavailable if vault does not answer and nothing is known that is younger than ten
    /// minutes.
    pub async fn own(&self, team: TeamId, age: Duration) -> Result<Catalog, Failure> {
        let now = self.clock.tick();
        let entry = self.teams.get_with(team, Arc::default);
        let mut copy = entry.lock().await;
        if copy.is_younger(age, now) {
            return Ok(copy.own.clone());
        }
        match tokio::time::timeout(TIMEOUT, self.refresh(team, &mut copy)).await {
            Ok(Ok(())) => Ok(copy.own.clone()),
            failed => {
                let failure = match failed {
                    Ok(Err(failure)) => failure,
                    _ => Failure::new(ErrorKind::Unavailable, "unavailable", "vault is too slow"),
                };
                if copy.is_younger(STALE, now) {
                    tracing::warn!(%failure, "the apps of a team may be old");
                    Ok(copy.own.clone())
                } else {
                    Err(failure)
                }
            }
        }
    }

    /// One app as the team has it.
    ///
    /// # Errors
    /// As [`Apps::own`].
    pub async fn app(&self, team: TeamId, key: &AppKey) -> Result<Option<Arc<App>>, Failure> {
        if let Some(app) = self.shipped.app(key) {
            return Ok(Some(Arc::clone(app)));
        }
        Ok(self.own(team, FRESH).await?.app(key).cloned())
    }

    async fn refresh(&self, team: TeamId, copy: &mut Copy) -> Result<(), Failure> {
        let asked_at = self.clock.tick();
        let mut known = copy.own.clone();
        let mut versions = copy.versions.clone();
        loop {
            let answer = self.fetch(team, &versions).await?;
            let more = answer.more;
            (known, versions) = merged(&known, &versions, answer.apps).await?;
            if !more {
                break;
            }
        }
        *copy = Copy { asked_at: Some(asked_at), versions, own: known };
        Ok(())
    }

    async fn fetch(
        &self,
        team: TeamId,
        versions: &BTreeMap<AppKey, u64>,
    ) -> Result<FetchAppsResponse, Failure> {
        let known = versions
            .iter()
            .map(|(key, version)| KnownApp { app_key: key.to_string(), version: *version });
        let mut request =
            Request::new(FetchAppsRequest { team_id: team.to_string(), known: known.collect() });
        request.set_timeout(TIMEOUT);
        let mut vault = self.vault.clone();
        Ok(vault.fetch_apps(request).await?.into_inner())
    }
}

impl Copy {
    fn is_younger(&self, age: Duration, now: Tick) -> bool {
        self.asked_at.is_some_and(|asked_at| asked_at + age >= now)
    }
}

/// What an answer says, with the documents that were known already.
async fn merged(
    known: &Catalog,
    versions: &BTreeMap<AppKey, u64>,
    answer: Vec<FetchedApp>,
) -> Result<(Catalog, BTreeMap<AppKey, u64>), Failure> {
    let defect = |_| Failure::internal();
    let (mut apps, mut now) = (Vec::new(), BTreeMap::new());
    for fetched in answer {
        let key: AppKey = fetched.app_key.parse().map_err(defect)?;
        let same = versions.get(&key) == Some(&fetched.version);
        if let Some(app) = known.app(&key).filter(|_| same) {
            apps.push(Arc::clone(app));
        } else {
            let own = key.clone();
            let parsed = tokio::task::spawn_blocking(move || App::parse(own, &fetched.document));
            if let Ok(Ok((app, _))) = parsed.await {
                apps.push(Arc::new(app));
            } else {
                // Vault has read it: this process is of another release.
                tracing::error!(app.key = %key, "an app of a team does not read here");
            }
        }
        now.insert(key, fetched.version);
    }
    Ok((Catalog::sharing(apps), now))
}

#[cfg(test)]
mod tests;
