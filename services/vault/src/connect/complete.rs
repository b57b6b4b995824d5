//! The provider sends the browser back: RFC 6749 section 4.1.2, RFC 9207.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use keystile_catalog::App;
use keystile_domain::{ConnectionId, ErrorKind, IntegrationId};
use secrecy::SecretString;
use tracing::Instrument as _;

use super::Flow;
use crate::{
    audit::{self, Author},
    connection::{Connection, Health, Scheme},
    credential::{Credential, Secret, Tokens},
    error::Error,
    integration::{self, Integration},
    oauth::{
        Failure,
        client::Client,
        endpoints::{self, Endpoints},
        random,
        token::{self, Exchange},
    },
    scope,
    vault::Vault,
};

/// How often it is tried to store what a provider sent, and the first pause.
const STORE_ATTEMPTS: u32 = 5;
const STORE_PAUSE: Duration = Duration::from_millis(100);

/// What the browser brings.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) integration: IntegrationId,
    pub(crate) cookie: Option<SecretString>,
    pub(crate) state: SecretString,
    pub(crate) code: Option<SecretString>,
    pub(crate) error: Option<String>,
    pub(crate) iss: Option<String>,
}

/// How a flow ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With an account.
    Connected {
        connection: Connection,
        /// What was asked for and not granted.
        missing: Vec<String>,
    },
    /// The person said no.
    Denied,
    /// It did not work: a stable code, and a sentence for a person.
    Failed { reason: &'static str, detail: String },
}

/// The end of a flow.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) ended: Ended,
    pub(crate) app_name: String,
    pub(crate) return_url: Option<String>,
}

impl Ended {
    fn failed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Failed { reason, detail: detail.into() }
    }
}

impl Vault {
    /// Ends the flow that this browser waits in, once. Another browser, another integration or
    /// another state is [`Error::ConnectUnknown`], and the flow goes on waiting.
    pub(crate) async fn complete_connect(
        self: &Arc<Self>,
        arrival: Arrival,
    ) -> Result<Completed, Error> {
        let cookie = arrival.cookie.as_ref().ok_or(Error::ConnectUnknown)?;
        let (cookie, state) = (random::digest(cookie), random::digest(&arrival.state));
        let ended = self.store.end_flow(arrival.integration, &cookie, &state).await?;
        let (flow, secret) = ended.ok_or(Error::ConnectUnknown)?;
        // From here on without its caller: a page that is closed must not lose what the provider
        // gives for a code that is good once.
        let vault = Arc::clone(self);
        let rest = async move { vault.finish(arrival, flow, &secret).await };
        match self.runs.spawn(rest.in_current_span()).await {
            Ok(completed) => completed,
            Err(panicked) => resume_unwind(panicked.into_panic()),
        }
    }

    async fn finish(
        &self,
        arrival: Arrival,
        flow: Flow,
        secret: &[u8],
    ) -> Result<Completed, Error> {
        let found = self.store.find_integration(flow.team, flow.integration).await?;
        let (integration, sealed) = found.ok_or(Error::ConnectUnknown)?;
        let app = self.app(flow.team, &integration.app).await?;
        let ended = if self.clock.now() >= flow.expires_at {
            Ended::failed("expired", "this took more than ten minutes: start again")
        } else if integration.status == integration::Status::Configured {
            let client = self.open_client(&integration, &sealed).await?;
            let verifier = self.verifier(flow.id, flow.team, flow.attempt, secret).await?;
            self.arrive(arrival, &flow, &integration, &app, &client, &verifier).await?
        } else {
            Ended::failed("integration_not_configured", "the integration is no longer in use")
        };
        Ok(Completed { ended, app_name: app.name.clone(), return_url: flow.return_url })
    }

    async fn arrive(
        &self,
        arrival: Arrival,
        flow: &Flow,
        integration: &Integration,
        app: &App,
        client: &Client,
        verifier: &SecretString,
    ) -> Result<Ended, Error> {
        let Some(endpoints) = &client.endpoints else {
            return Err(Error::IntegrationNotConfigured("draft"));
        };
        // First of all, so that not even an error of another server is believed (RFC 9207 section
        // 2.4).
        if !issuer_fits(endpoints, arrival.iss.as_deref()) {
            let detail = "the answer is not of the provider that was asked";
            return Ok(Ended::failed("issuer_mismatch", detail));
        }
        if let Some(error) = arrival.error {
            return Ok(match error.as_str() {
                "access_denied" => Ended::Denied,
                _ => Ended::failed("provider_error", "the provider did not go along"),
            });
        }
        let Some(code) = arrival.code else {
            return Ok(Ended::failed("invalid_answer", "the provider sent no code"));
        };
        let pkce = endpoints::dialect(app, integration.grant_type).is_none_or(|own| own.pkce);
        let exchange = Exchange::Code {
            code: &code,
            verifier: pkce.then_some(verifier),
            redirect_uri: &self.callback_url(integration.id),
        };
        let issued = match token::exchange(&self.egress, client, endpoints, &exchange).await {
            Ok(issued) => issued,
            Err(failure) => return Ok(failed(&failure)),
        };
        let linked = self.link(flow, integration, app, issued).await?;
        Ok(linked.map_or_else(
            || {
                let detail = "the connection or its integration was changed meanwhile";
                Ended::failed("connection_gone", detail)
            },
            |(connection, missing)| Ended::Connected { connection, missing },
        ))
    }

    /// Stores what was issued as a new connection, or in the place of what one had. `None` if that
    /// is gone. What the provider sent exists nowhere else, so it is tried more than once.
    async fn link(
        &self,
        flow: &Flow,
        integration: &Integration,
        app: &App,
        issued: token::Issued,
    ) -> Result<Option<(Connection, Vec<String>)>, Error> {
        let now = self.clock.now();
        let scopes = issued.scopes.clone().unwrap_or_else(|| integration.scopes.clone());
        let missing = scope::missing(&integration.scopes, &scopes);
        let connection = Connection {
            id: flow.again.unwrap_or_else(|| ConnectionId::generate(now, &*self.entropy)),
            team: flow.team,
            app: integration.app.clone(),
            name: flow.name.clone(),
            health: Health::lacking(&missing),
            scheme: Scheme::OAuth2,
            created_at: now,
            last_used_at: None,
            issued: Some(self.issued(integration, &issued, scopes, now)),
        };
        let credential = Credential {
            app: integration.app.clone(),
            origin: self.origin(app, &flow.variables)?,
            variables: flow.variables.clone(),
            secret: Secret::OAuth2(Tokens {
                integration: integration.id,
                access: issued.access,
                refresh: issued.refresh,
            }),
        };
        let author = Author::new(flow.who.clone(), now, &*self.entropy);
        for attempt in 1.. {
            match self.put(flow, &connection, &credential, &author).await {
                Ok(true) => return Ok(Some((connection, missing))),
                // Of one that is connected again a refresh may have come first.
                Ok(false) if flow.again.is_some() && attempt < STORE_ATTEMPTS => {}
                Ok(false) => break,
                Err(error)
                    if error.kind() == ErrorKind::Unavailable && attempt < STORE_ATTEMPTS =>
                {
                    tokio::time::sleep(STORE_PAUSE * attempt).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Seals a credential and stores it. False if what it belongs to is gone or changed.
    async fn put(
        &self,
        flow: &Flow,
        connection: &Connection,
        credential: &Credential,
        author: &Author,
    ) -> Result<bool, Error> {
        let (team, id) = (connection.team, connection.id);
        if flow.again.is_none() {
            let sealed = self.keys.seal_credential(team, id, 1, credential).await?;
            let entry = author.entry(audit::CREATED, connection, None, Some(connection));
            return Ok(self.store.insert_connection(connection, &sealed, &entry).await?);
        }
        let Some((_, known)) = self.store.find_connection(team, id).await? else {
            return Ok(false);
        };
        let sealed = self.keys.seal_credential(team, id, known.version + 1, credential).await?;
        let entry = |before: &Connection| {
            let after = Connection {
                name: before.name.clone(),
                created_at: before.created_at,
                last_used_at: before.last_used_at,
                ..connection.clone()
            };
            author.entry(audit::RECONNECTED, before, Some(before), Some(&after))
        };
        Ok(self.store.replace_credential(connection, &sealed, &entry).await?)
    }
}

/// `iss` is compared byte by byte whenever it is there and the provider is known by a name, and must
/// be there if the provider's metadata says so (RFC 9207 section 2.4).
fn issuer_fits(endpoints: &Endpoints, iss: Option<&str>) -> bool {
    match (iss, &endpoints.issuer) {
        (Some(iss), Some(issuer)) => iss == issuer,
        (Some(_), None) => true,
        (None, _) => !endpoints.sends_iss,
    }
}

fn failed(failure: &Failure) -> Ended {
    match failure {
        Failure::Refused(_) if failure.refuses_client() => Ended::failed(
            "client_refused",
            "the provider does not know the integration's client: check the integration",
        ),
        Failure::Refused(_) if failure.refuses_grant() => {
            Ended::failed("code_refused", "the provider no longer takes its own code: start again")
        }
        Failure::Refused(code) => {
            Ended::failed("provider_error", format!("the provider answered {code}"))
        }
        Failure::Unavailable(_) | Failure::Lost => {
            Ended::failed("provider_unavailable", "the provider did not answer: start again later")
        }
        failure @ Failure::Invalid(_) => Ended::failed("invalid_answer", failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use keystile_catalog::extension::ClientAuthentication;

    use super::*;

    #[test]
    fn the_issuer_is_held_to_what_is_known_of_it() {
        let endpoints = |issuer: Option<&str>, sends_iss| Endpoints {
            authorization: None,
            token: "https://a.example/token".parse().expect("a URL"),
            refresh: None,
            issuer: issuer.map(str::to_owned),
            sends_iss,
            authentication: ClientAuthentication::Basic,
        };
        let own = "https://a.example";
        for (issuer, sends, iss, fits) in [
            (Some(own), true, Some(own), true),
            (Some(own), true, None, false),
            (Some(own), true, Some("https://a.example/"), false),
            (Some(own), false, Some("https://evil.example"), false),
            (Some(own), false, None, true),
            (None, false, Some("https://anything.example"), true),
            (None, false, None, true),
        ] {
            assert_eq!(issuer_fits(&endpoints(issuer, sends), iss), fits, "{issuer:?} {iss:?}");
        }
    }
}
