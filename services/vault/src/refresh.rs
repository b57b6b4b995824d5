//! Refreshing what providers issued, design §9: before it ends, and when the app refuses it.
//!
//! One exchange at a time for a connection, across all vaults: [`crate::store::refresh`] says who.
//! In one process, all who wait for a connection wait for one flight; a flight that is not the one
//! to exchange waits for another vault's outcome. The old token stays until the new one is stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use keystile_domain::{ConnectionId, ErrorKind, TeamId, entropy};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{self, Author, Who},
    connection::{Connection, Health, Issued, Status},
    credential::{Credential, Secret, Tokens},
    error::Error,
    integration::{self, GrantType, Integration, check::scope_text},
    oauth::{
        self, Failure,
        token::{self, Exchange},
    },
    scope,
    store::{
        SealedCredential,
        refresh::{Claim, Fence, Refreshed},
    },
    vault::Vault,
};

/// How long a claim holds before its exchange began: nothing is read or sent for longer.
const CLAIM_TTL: Duration = Duration::from_secs(10);
/// How long an exchange may take before its outcome counts as lost: the time that it has, and as
/// much again to store what came of it.
const EXCHANGE_TTL: Duration = oauth::TIMEOUT.saturating_mul(2);
/// How often a flight looks for another vault's outcome.
const POLL: Duration = Duration::from_millis(100);
/// How often it is tried to store new tokens.
const STORE_ATTEMPTS: u32 = 10;
/// Before a refresh that met an outage is tried again: the first pause, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(15));
/// What a failed refresh says of a connection that is tried again.
const RETRIED: [&str; 4] =
    ["client_refused", "provider_error", "provider_unavailable", "integration_disabled"];
/// How often the background looks for what is due, and how many it takes at once.
const INTERVAL: Duration = Duration::from_secs(2);
const BATCH: u64 = 32;
/// How long a flow that is over can still be told from one that never was.
const FLOW_KEPT: Duration = Duration::from_hours(1);

/// True: it came to an outcome.
type Flight = Shared<BoxFuture<'static, bool>>;

/// The flights of this process.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<(ConnectionId, u64), Flight>>);

/// A credential that is good now.
pub(crate) struct Fresh {
    pub(crate) connection: Connection,
    pub(crate) sealed: SealedCredential,
}

impl Vault {
    /// The connection and a credential that has not ended; refreshed if it has, or if the app
    /// refused the version `refused`.
    pub(crate) async fn fresh(
        self: &Arc<Self>,
        team: TeamId,
        id: ConnectionId,
        refused: Option<u64>,
    ) -> Result<Fresh, Error> {
        let mut flown = false;
        loop {
            let found = self.store.find_connection(team, id).await?;
            let (connection, sealed) =
                found.ok_or_else(|| Error::ConnectionUnusable("it is gone".to_owned()))?;
            if !connection.health.status.may_run() {
                return Err(Error::unhealthy(&connection.health));
            }
            let now = self.clock.now();
            let issued = connection.issued.as_ref();
            let ended = issued.and_then(|issued| issued.expires_at).is_some_and(|end| end <= now);
            if !ended && refused != Some(sealed.version) {
                return Ok(Fresh { connection, sealed });
            }
            // Not before its time after an outage: the provider has enough callers then.
            let waits = issued.and_then(|issued| issued.refresh_at).is_some_and(|at| at > now);
            let told = RETRIED.contains(&connection.health.reason.as_str());
            if connection.health.status == Status::Failing && told && waits {
                return Err(Error::unhealthy(&connection.health));
            }
            // Once: what a flight gave is the best there is, whatever the provider says of its life.
            if flown {
                return Ok(Fresh { connection, sealed });
            }
            if !self.flight(team, id, sealed.version).await {
                return Err(Error::NotRefreshed);
            }
            flown = true;
        }
    }

    /// Waits until the credential is another than `version`, or cannot become so. Whoever comes
    /// first starts it, and it goes on without them.
    async fn flight(self: &Arc<Self>, team: TeamId, id: ConnectionId, version: u64) -> bool {
        let flight = {
            let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
            let start = || {
                let vault = Arc::clone(self);
                // A stop waits for it: what a provider sends must be stored.
                let task = self.runs.spawn(async move {
                    let outcome = vault.refresh(team, id, version).await;
                    if let Err(error) = &outcome {
                        tracing::warn!(connection.id = %id, %error, "a connection was not refreshed");
                    }
                    let mut flights =
                        vault.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
                    flights.remove(&(id, version));
                    outcome.is_ok()
                });
                task.map(|outcome| outcome.unwrap_or(false)).boxed().shared()
            };
            flights.entry((id, version)).or_insert_with(start).clone()
        };
        flight.await
    }

    /// One refresh of that version, here or in another vault.
    async fn refresh(&self, team: TeamId, id: ConnectionId, version: u64) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            let author = self.vault_author(now);
            let lost = |before: &Connection| {
                let health = Health::because(Status::Expired, "refresh_outcome_unknown");
                status_changed(&author, before, &health)
            };
            let until = now + CLAIM_TTL;
            match self.store.claim_refresh(team, id, version, now, until, &lost).await? {
                Claim::Won(fence) => return self.exchange_tokens(team, id, version, fence).await,
                Claim::Changed => return Ok(()),
                Claim::Busy => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Exchanges and stores what came of it, under a claim.
    async fn exchange_tokens(
        &self,
        team: TeamId,
        id: ConnectionId,
        version: u64,
        fence: Fence,
    ) -> Result<(), Error> {
        let found = self.store.find_connection(team, id).await?;
        let Some((connection, sealed)) = found.filter(|(_, sealed)| sealed.version == version)
        else {
            return Ok(());
        };
        let credential = self.keys.open_credential(team, id, &sealed).await?;
        let Secret::OAuth2(tokens) = &credential.secret else {
            return Err(Error::CorruptCredential);
        };
        let found = self.store.find_integration(team, tokens.integration).await?;
        let usable = found.filter(|(own, _)| own.status != integration::Status::Disabled);
        let Some((integration, client)) = usable else {
            let health = Health::because(Status::Failing, "integration_disabled");
            let again = self.clock.now() + RETRY.0;
            return self.fail(&connection, fence, &health, Some(again)).await;
        };
        let client = self.open_client(&integration, &client).await?;
        let app = self.app(team, &integration.app).await?;
        let scope = scope_text(&integration, &app);
        let exchange = match (&tokens.refresh, integration.grant_type) {
            (_, GrantType::ClientCredentials) => Exchange::ClientCredentials { scope: &scope },
            (Some(token), GrantType::AuthorizationCode) => Exchange::Refresh { token },
            (None, GrantType::AuthorizationCode) => {
                let health = Health::because(Status::Expired, "no_refresh_token");
                return self.fail(&connection, fence, &health, None).await;
            }
        };
        let Some(endpoints) = &client.endpoints else {
            return Err(Error::IntegrationNotConfigured("draft"));
        };
        let until = self.clock.now() + EXCHANGE_TTL;
        if !self.store.begin_exchange(id, fence, until).await? {
            return Ok(());
        }
        match token::exchange(&self.egress, &client, endpoints, &exchange).await {
            Ok(issued) => {
                self.keep(&connection, &integration, credential, version, fence, issued).await
            }
            Err(failure) => {
                let (health, again) = self.judge_refresh(&connection, &exchange, &failure);
                tracing::warn!(connection.id = %id, error = %failure, "a refresh failed");
                self.fail(&connection, fence, &health, again).await
            }
        }
    }

    /// Stores new tokens. Whatever the provider did not send anew stays.
    async fn keep(
        &self,
        connection: &Connection,
        integration: &Integration,
        credential: Credential,
        version: u64,
        fence: Fence,
        issued: token::Issued,
    ) -> Result<(), Error> {
        let Credential { app, origin, variables, secret: Secret::OAuth2(old) } = credential else {
            return Err(Error::CorruptCredential);
        };
        let now = self.clock.now();
        // What an answer does not say stays; a client asks for its scopes each time (RFC 6749 sections
        // 5.1 and 6).
        let known = match integration.grant_type {
            GrantType::ClientCredentials => Some(integration.scopes.clone()),
            GrantType::AuthorizationCode => {
                connection.issued.as_ref().map(|issued| issued.scopes.clone())
            }
        };
        let scopes = issued.scopes.clone().or(known).unwrap_or_default();
        let issued = token::Issued { refresh: issued.refresh.or(old.refresh), ..issued };
        let told = self.issued(integration, &issued, scopes, now);
        let tokens =
            Tokens { integration: old.integration, access: issued.access, refresh: issued.refresh };
        let next = Credential { app, origin, variables, secret: Secret::OAuth2(tokens) };
        let (team, id) = (connection.team, connection.id);
        let health = Health::lacking(&scope::missing(&integration.scopes, &told.scopes));
        let author = self.vault_author(now);
        let changed = |before: &Connection| status_changed(&author, before, &health);
        let store = || async {
            // Sealed anew each time: a rotation may have removed the data key in between.
            let credential = self.keys.seal_credential(team, id, version + 1, &next).await?;
            let refreshed = Refreshed { credential, issued: told.clone(), health: health.clone() };
            let stored = self.store.finish_refresh(team, id, fence, &refreshed, &changed).await?;
            Ok::<_, Error>(stored)
        };
        let mut attempts = 1;
        let stored = loop {
            match store().await {
                // What the provider sent exists nowhere else.
                Err(error)
                    if error.kind() == ErrorKind::Unavailable && attempts < STORE_ATTEMPTS =>
                {
                    tracing::warn!(connection.id = %id, %error, "new tokens were not stored yet");
                    tokio::time::sleep(POLL * attempts).await;
                    attempts += 1;
                }
                outcome => break outcome?,
            }
        };
        if !stored {
            tracing::warn!(connection.id = %id, "a refresh came too late: the credential is another");
        }
        Ok(())
    }

    async fn fail(
        &self,
        connection: &Connection,
        fence: Fence,
        health: &Health,
        again: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let author = self.vault_author(self.clock.now());
        let changed = |before: &Connection| status_changed(&author, before, health);
        let (team, id) = (connection.team, connection.id);
        self.store.fail_refresh(team, id, fence, health, again, &changed).await?;
        Ok(())
    }

    /// What a failed exchange makes of a connection, and when to try again.
    fn judge_refresh(
        &self,
        connection: &Connection,
        exchange: &Exchange<'_>,
        failure: &Failure,
    ) -> (Health, Option<OffsetDateTime>) {
        let spends = matches!(exchange, Exchange::Refresh { .. });
        let reason = match failure {
            refused if refused.refuses_grant() => {
                return (Health::because(Status::Expired, "refused_by_provider"), None);
            }
            // The refresh token may be spent, and one that is must never be sent again.
            Failure::Lost | Failure::Invalid(_) if spends => {
                return (Health::because(Status::Expired, "refresh_outcome_unknown"), None);
            }
            refused if refused.refuses_client() => "client_refused",
            Failure::Refused(_) => "provider_error",
            Failure::Unavailable(_) | Failure::Lost | Failure::Invalid(_) => "provider_unavailable",
        };
        // Twice as long as it has been failing, so that no counter must be kept.
        let now = self.clock.now();
        let due = connection.issued.as_ref().and_then(|issued| issued.expires_at);
        let late = due.map_or(Duration::ZERO, |due| (now - due).try_into().unwrap_or_default());
        let pause = late.clamp(RETRY.0, RETRY.1);
        (Health::because(Status::Failing, reason), Some(now + jittered(pause, &*self.entropy)))
    }

    /// What is told of tokens: when they end, and when to refresh them.
    pub(crate) fn issued(
        &self,
        integration: &Integration,
        issued: &token::Issued,
        scopes: Vec<String>,
        now: OffsetDateTime,
    ) -> Issued {
        let renewable =
            issued.refresh.is_some() || integration.grant_type == GrantType::ClientCredentials;
        let life = issued.expires_in.map(Duration::from_secs);
        Issued {
            integration: integration.id,
            scopes,
            expires_at: life.map(|life| now + life),
            refresh_at: life
                .filter(|_| renewable)
                .map(|life| now + refresh_after(life, &*self.entropy)),
        }
    }

    fn vault_author(&self, now: OffsetDateTime) -> Author {
        Author::new(Who::vault(), now, &*self.entropy)
    }

    /// Refreshes what is due, and forgets flows that are over, until `stop`.
    pub(crate) async fn run_refresh(self: &Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            if let Err(error) = self.refresh_due().await {
                tracing::warn!(%error, "the background of connections could not do its work");
            }
        }
    }

    async fn refresh_due(self: &Arc<Self>) -> Result<(), Error> {
        let now = self.clock.now();
        self.store.prune_flows(now - FLOW_KEPT).await?;
        let due = self.store.due_refreshes(now, BATCH).await?;
        let flights = due.into_iter().map(async |(team, id)| {
            if let Ok(Some((_, sealed))) = self.store.find_connection(team, id).await {
                self.flight(team, id, sealed.version).await;
            }
        });
        futures::future::join_all(flights).await;
        Ok(())
    }
}

fn status_changed(author: &Author, before: &Connection, health: &Health) -> audit::Entry {
    let after = Connection { health: health.clone(), ..before.clone() };
    author.entry(audit::STATUS_CHANGED, before, Some(before), Some(&after))
}

/// When in its life a token is refreshed: between 80 and 90 percent of it, so that not all tokens of
/// one moment are refreshed in one moment.
fn refresh_after(life: Duration, entropy: &dyn entropy::Entropy) -> Duration {
    let [random] = entropy::bytes(entropy);
    life * 8 / 10 + life / 10 * u32::from(random) / 255
}

fn jittered(pause: Duration, entropy: &dyn entropy::Entropy) -> Duration {
    let [random] = entropy::bytes(entropy);
    pause + pause / 2 * u32::from(random) / 255
}
