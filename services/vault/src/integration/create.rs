//! Adding an integration, as a draft.

use keystile_domain::{Actor, AppKey, IntegrationId, Permission, name::Name};
use secrecy::{ExposeSecret, SecretString};

use super::{GrantType, Integration, Status, checked_return_urls, chosen_scopes, client_text};
use crate::{
    audit::{self, Author, Who},
    error::Error,
    keys::{CLIENT, Place},
    oauth::client::Client,
    store::SealedCredential,
    vault::Vault,
};

/// The client to add.
pub(crate) struct Create {
    pub(crate) app: AppKey,
    pub(crate) name: Name,
    pub(crate) grant_type: Option<GrantType>,
    pub(crate) client_id: String,
    /// Empty: a public client.
    pub(crate) client_secret: SecretString,
    pub(crate) scopes: Vec<String>,
    pub(crate) return_urls: Vec<String>,
}

/// The secret of a client that has one.
pub(super) fn client_secret(
    grant: GrantType,
    given: SecretString,
) -> Result<Option<SecretString>, Error> {
    if given.expose_secret().is_empty() {
        return match grant {
            GrantType::AuthorizationCode => Ok(None),
            GrantType::ClientCredentials => {
                Err(Error::field("client_secret", "is required for client credentials"))
            }
        };
    }
    client_text("client_secret", given.expose_secret())?;
    Ok(Some(given))
}

impl Vault {
    /// Seals the client and stores the integration with its audit row.
    pub(crate) async fn create_integration(
        &self,
        actor: &Actor,
        create: Create,
    ) -> Result<Integration, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let app = self.app(team, &create.app).await?;
        let grant_type = match create.grant_type {
            Some(grant) if grant.scheme(&app).is_some() => grant,
            Some(_) => return Err(Error::field("grant_type", "this app does not offer it")),
            None => GrantType::default_of(&app)
                .ok_or_else(|| Error::field("app_key", "this app is not connected with OAuth"))?,
        };
        client_text("client_id", &create.client_id)?;
        let secret = client_secret(grant_type, create.client_secret)?;
        let now = self.clock.now();
        let integration = Integration {
            id: IntegrationId::generate(now, &*self.entropy),
            team,
            app: create.app.clone(),
            name: create.name,
            grant_type,
            client_id: create.client_id.clone(),
            has_secret: secret.is_some(),
            scopes: chosen_scopes(&app, grant_type, create.scopes)?,
            return_urls: checked_return_urls(create.return_urls)?,
            status: Status::Draft,
            status_reason: String::new(),
            created_at: now,
            version: 1,
        };
        let client = Client { app: create.app, id: create.client_id, secret, endpoints: None };
        let sealed = self.seal_client(&integration, 1, &client).await?;
        let author = Author::new(Who::of(actor), now, &*self.entropy);
        let entry =
            author.integration(audit::INTEGRATION_CREATED, &integration, None, Some(&integration));
        self.store.insert_integration(&integration, &sealed, &entry).await?;
        Ok(integration)
    }

    /// Seals a client as `version` of that of an integration.
    pub(super) async fn seal_client(
        &self,
        integration: &Integration,
        version: u64,
        client: &Client,
    ) -> Result<SealedCredential, Error> {
        let row = integration.id.to_string();
        let place = Place { purpose: CLIENT, team: integration.team, row: &row, version };
        let bytes = self.keys.seal(&place, &client.encode()).await?;
        Ok(SealedCredential { version, bytes })
    }

    /// Opens the client of an integration.
    pub(crate) async fn open_client(
        &self,
        integration: &Integration,
        sealed: &SealedCredential,
    ) -> Result<Client, Error> {
        let row = integration.id.to_string();
        let version = sealed.version;
        let place = Place { purpose: CLIENT, team: integration.team, row: &row, version };
        let plaintext = self.keys.open_sealed(&place, &sealed.bytes).await?;
        let client = Client::decode(&plaintext).map_err(|_| Error::CorruptCredential)?;
        // The row says which app and client; what was sealed decides.
        if client.app != integration.app || client.id != integration.client_id {
            return Err(Error::CorruptCredential);
        }
        Ok(client)
    }
}
