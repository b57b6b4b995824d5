//! Looking at integrations.

use keystile_domain::{Actor, IntegrationId, Permission};

use super::{GrantType, Integration};
use crate::{error::Error, read::Page, store::integrations::IntegrationPage, vault::Vault};

impl Vault {
    /// One integration of the actor's team.
    pub(crate) async fn get_integration(
        &self,
        actor: &Actor,
        id: IntegrationId,
    ) -> Result<Integration, Error> {
        let team = actor.require(Permission::Read)?;
        let found = self.store.find_integration(team, id).await?;
        found.map(|(integration, _)| integration).ok_or(Error::IntegrationNotFound)
    }

    /// The actor's team's integrations, newest first.
    pub(crate) async fn list_integrations(
        &self,
        actor: &Actor,
        mut page: IntegrationPage,
    ) -> Result<Page<Integration>, Error> {
        let team = actor.require(Permission::Read)?;
        let limit = page.limit;
        page.limit += 1;
        Ok(Page::cut(self.store.list_integrations(team, &page).await?, limit))
    }

    /// Where the provider sends the browser back: to one address for each integration, so that what
    /// one provider issued never reaches the token endpoint of another (RFC 9700 section 4.4.2).
    pub(crate) fn callback_url(&self, id: IntegrationId) -> String {
        format!("{}/connect/callback/{id}", self.gateway_url)
    }

    /// The same for show; none where no browser comes back.
    pub(crate) fn shown_callback_url(&self, integration: &Integration) -> String {
        match integration.grant_type {
            GrantType::AuthorizationCode => self.callback_url(integration.id),
            GrantType::ClientCredentials => String::new(),
        }
    }
}
