//! A browser arrives: who asks for what?

use keystile_domain::IntegrationId;
use secrecy::SecretString;

use super::Flow;
use crate::{error::Error, integration::Integration, oauth::random, vault::Vault};

/// What a person is asked.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For the browser to keep; `None` if it has it.
    pub(crate) cookie: Option<SecretString>,
    pub(crate) flow: Flow,
    pub(crate) integration: Integration,
}

impl Vault {
    /// Uses the ticket up, or finds the flow that the browser has opened before: a page may be
    /// loaded again.
    pub(crate) async fn open_connect(
        &self,
        integration: IntegrationId,
        ticket: Option<&SecretString>,
        cookie: Option<&SecretString>,
    ) -> Result<Opened, Error> {
        let now = self.clock.now();
        let fresh = random::text(&*self.entropy);
        let opened = match ticket.map(random::digest) {
            Some(ticket) => {
                self.store.open_flow(integration, &ticket, &random::digest(&fresh), now).await?
            }
            None => None,
        };
        let (flow, cookie) = match (opened, cookie) {
            (Some(flow), _) => (flow, Some(fresh)),
            (None, Some(cookie)) => (self.flow_of(integration, cookie).await?, None),
            (None, None) => return Err(Error::ConnectUnknown),
        };
        let integration = self.configured(&flow).await?;
        Ok(Opened { cookie, flow, integration })
    }

    /// The flow of a browser.
    pub(super) async fn flow_of(
        &self,
        integration: IntegrationId,
        cookie: &SecretString,
    ) -> Result<Flow, Error> {
        let (cookie, now) = (random::digest(cookie), self.clock.now());
        let found = self.store.flow_of_cookie(integration, &cookie, now).await?;
        found.ok_or(Error::ConnectUnknown)
    }

    /// The integration of a flow, if accounts can still be connected through it.
    pub(super) async fn configured(&self, flow: &Flow) -> Result<Integration, Error> {
        let found = self.store.find_integration(flow.team, flow.integration).await?;
        let (integration, _) = found.ok_or(Error::ConnectUnknown)?;
        integration.require_configured()?;
        Ok(integration)
    }
}
