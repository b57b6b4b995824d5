//! The console starts a flow.

use std::collections::BTreeMap;

use keystile_domain::{Actor, ConnectionId, IntegrationId, Permission, name::Name};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Flow, FlowId, TTL};
use crate::{audit::Who, error::Error, integration::GrantType, oauth::random, vault::Vault};

/// The account to connect.
pub(crate) struct Start {
    pub(crate) integration: IntegrationId,
    pub(crate) account: Account,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) return_url: Option<String>,
}

/// Which one.
pub(crate) enum Account {
    /// A new one of that name.
    New(Name),
    /// One that is there, with its variables as they are.
    Again(ConnectionId),
}

/// The flow, ready for a browser.
pub(crate) struct Started {
    /// Holds the ticket.
    pub(crate) url: SecretString,
    pub(crate) expires_at: OffsetDateTime,
}

impl Vault {
    /// Makes a flow and its ticket.
    pub(crate) async fn start_connect(
        &self,
        actor: &Actor,
        start: Start,
    ) -> Result<Started, Error> {
        let team = actor.require(Permission::ConnectionsWrite)?;
        let found = self.store.find_integration(team, start.integration).await?;
        let (integration, _) = found.ok_or(Error::IntegrationNotFound)?;
        integration.require_configured()?;
        if integration.grant_type == GrantType::ClientCredentials {
            let problem = "is of client credentials: create the connection without a browser";
            return Err(Error::field("integration_id", problem));
        }
        if let Some(url) = &start.return_url
            && !integration.return_urls.contains(url)
        {
            return Err(Error::field("return_url", "is none of the integration's return URLs"));
        }
        let app = self.app(team, &integration.app).await?;
        let (name, again, variables) = match start.account {
            Account::New(name) => (name, None, start.variables),
            Account::Again(id) => {
                let found = self.store.find_connection(team, id).await?;
                let (connection, sealed) = found.ok_or(Error::ConnectionNotFound)?;
                let issued = connection.issued.as_ref();
                if issued.map(|issued| issued.integration) != Some(integration.id) {
                    let problem = "is not a connection of this integration";
                    return Err(Error::field("connection_id", problem));
                }
                let known = self.keys.open_credential(team, id, &sealed).await?.variables;
                (connection.name, Some(id), known)
            }
        };
        self.origin(&app, &variables)?;
        let now = self.clock.now();
        let id = FlowId(Uuid::from_bytes(keystile_domain::entropy::bytes(&*self.entropy)));
        let flow = Flow {
            id,
            team,
            integration: integration.id,
            name,
            again,
            variables,
            who: Who::of(actor),
            return_url: start.return_url,
            expires_at: now + TTL,
            attempt: 0,
        };
        let ticket = random::text(&*self.entropy);
        self.store.insert_flow(&flow, &random::digest(&ticket)).await?;
        let (gateway, ticket) = (&self.gateway_url, ticket.expose_secret());
        let url = format!("{gateway}/connect/{}?ticket={ticket}", integration.id).into();
        Ok(Started { url, expires_at: flow.expires_at })
    }
}
