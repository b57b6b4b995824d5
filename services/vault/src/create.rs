//! Linking an account without a browser: with what a person gives, or as the client itself.

use std::collections::BTreeMap;

use keystile_catalog::App;
use keystile_domain::{Actor, AppKey, ConnectionId, IntegrationId, Permission, TeamId, name::Name};

use crate::{
    audit::{self, Author, Who},
    connection::{Connection, Health, Issued},
    credential::{Credential, Given, Secret, Tokens},
    error::Error,
    integration::{GrantType, check::scope_text},
    oauth::token::{self, Exchange},
    vault::Vault,
};

/// The version of a connection's first credential.
const FIRST: u64 = 1;

/// The account to link.
pub(crate) struct Create {
    pub(crate) app: AppKey,
    pub(crate) name: Name,
    pub(crate) account: Account,
    pub(crate) variables: BTreeMap<String, String>,
}

/// Where the credential comes from.
pub(crate) enum Account {
    /// A person gives it.
    Given(Given),
    /// An integration of grant client credentials gets it.
    Client(IntegrationId),
}

impl Vault {
    /// Where an app is for who chooses these variables, to be sealed with a credential; `None` for
    /// one that Keystile ships, whose document nobody but its release can change.
    pub(crate) fn origin(
        &self,
        app: &App,
        variables: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Error> {
        let base = app.base_url(variables);
        let base = base.map_err(|error| Error::field("server_variables", error.to_string()))?;
        let own = self.catalog.app(&app.key).is_none();
        Ok(own.then(|| base.origin().ascii_serialization()))
    }

    /// Seals the credential and stores the connection with its audit row.
    pub(crate) async fn create(&self, actor: &Actor, create: Create) -> Result<Connection, Error> {
        let team = actor.require(Permission::ConnectionsWrite)?;
        let app = self.app(team, &create.app).await?;
        if !app.needs_connection() {
            return Err(Error::field("app_key", "this app needs no connection"));
        }
        let origin = self.origin(&app, &create.variables)?;
        let (secret, issued) = match create.account {
            Account::Given(given) => {
                let fit = given.fit(&app.security);
                (fit.map_err(|unfit| Error::field(unfit.field, unfit.problem))?, None)
            }
            Account::Client(id) => {
                let (secret, issued) = self.as_client(team, &create.app, id).await?;
                (secret, Some(issued))
            }
        };
        let now = self.clock.now();
        let connection = Connection {
            id: ConnectionId::generate(now, &*self.entropy),
            team,
            app: create.app.clone(),
            name: create.name,
            health: Health::active(),
            scheme: secret.scheme(),
            created_at: now,
            last_used_at: None,
            issued,
        };
        let credential =
            Credential { app: create.app, origin, variables: create.variables, secret };
        let sealed = self.keys.seal_credential(team, connection.id, FIRST, &credential).await?;
        let author = Author::new(Who::of(actor), now, &*self.entropy);
        let entry = author.entry(audit::CREATED, &connection, None, Some(&connection));
        if self.store.insert_connection(&connection, &sealed, &entry).await? {
            Ok(connection)
        } else {
            // It was configured a moment ago.
            Err(Error::IntegrationChanged)
        }
    }

    /// Tokens of the client credentials grant (RFC 6749 section 4.4).
    async fn as_client(
        &self,
        team: TeamId,
        app: &AppKey,
        id: IntegrationId,
    ) -> Result<(Secret, Issued), Error> {
        let found = self.store.find_integration(team, id).await?;
        let (integration, sealed) = found.ok_or(Error::IntegrationNotFound)?;
        integration.require_configured()?;
        let wrong = |problem| Err(Error::field("credential.integration_id", problem));
        if integration.app != *app {
            return wrong("is of another app");
        }
        if integration.grant_type != GrantType::ClientCredentials {
            return wrong("needs a person to consent: start a connect flow");
        }
        let client = self.open_client(&integration, &sealed).await?;
        let endpoints = client.endpoints.as_ref();
        let endpoints = endpoints.ok_or(Error::IntegrationNotConfigured("draft"))?;
        let app = self.app(team, app).await?;
        let scope = scope_text(&integration, &app);
        let exchange = Exchange::ClientCredentials { scope: &scope };
        let issued = token::exchange(&self.egress, &client, endpoints, &exchange).await?;
        let scopes = issued.scopes.clone().unwrap_or_else(|| integration.scopes.clone());
        let told = self.issued(&integration, &issued, scopes, self.clock.now());
        // Nothing is refreshed with a token here: the client asks again (section 4.4.3).
        let tokens = Tokens { integration: id, access: issued.access, refresh: None };
        Ok((Secret::OAuth2(tokens), told))
    }
}
