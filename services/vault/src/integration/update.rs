//! Changing an integration.

use keystile_domain::{Actor, IntegrationId, Permission, name::Name};
use secrecy::SecretString;

use super::{
    Integration, Status, checked_return_urls, chosen_scopes, client_text, create::client_secret,
};
use crate::{
    audit::{self, Author, Who},
    error::Error,
    vault::Vault,
};

/// What to change. What is absent stays.
pub(crate) struct Update {
    /// The version that the caller saw, if it must be that one.
    pub(crate) version: Option<u64>,
    pub(crate) name: Option<Name>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) return_urls: Option<Vec<String>>,
}

impl Vault {
    /// Another client is a draft again: nobody connects through it before it was checked. Accounts
    /// that are connected stay so.
    pub(crate) async fn update_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
        update: Update,
    ) -> Result<Integration, Error> {
        let team = actor.require(Permission::IntegrationsWrite)?;
        let found = self.store.find_integration(team, id).await?;
        let (before, sealed) = found.ok_or(Error::IntegrationNotFound)?;
        if update.version.is_some_and(|seen| seen != before.version) {
            return Err(Error::IntegrationChanged);
        }
        let app = self.app(team, &before.app).await?;
        let mut client = self.open_client(&before, &sealed).await?;
        let mut after = Integration { version: before.version + 1, ..before.clone() };
        let mut another = false;
        if let Some(name) = update.name {
            after.name = name;
        }
        if let Some(id) = update.client_id {
            client_text("client_id", &id)?;
            another |= id != client.id;
            after.client_id.clone_from(&id);
            client.id = id;
        }
        if let Some(given) = update.client_secret {
            client.secret = client_secret(before.grant_type, given)?;
            after.has_secret = client.secret.is_some();
            // Whoever has the secret says that it may go where the next check finds.
            client.endpoints = None;
            another = true;
        }
        if let Some(scopes) = update.scopes {
            after.scopes = chosen_scopes(&app, before.grant_type, scopes)?;
        }
        if let Some(urls) = update.return_urls {
            after.return_urls = checked_return_urls(urls)?;
        }
        if another {
            // Also for one that is disabled: enabling it makes it what it was checked as.
            "changed".clone_into(&mut after.status_reason);
            if after.status == Status::Configured {
                after.status = Status::Draft;
            }
        }
        let sealed = self.seal_client(&after, sealed.version + 1, &client).await?;
        let author = Author::new(Who::of(actor), self.clock.now(), &*self.entropy);
        let entry =
            author.integration(audit::INTEGRATION_UPDATED, &after, Some(&before), Some(&after));
        if self.store.update_integration(&after, &sealed, &entry).await? {
            Ok(after)
        } else {
            Err(Error::IntegrationChanged)
        }
    }
}
