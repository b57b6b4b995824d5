//! The person goes on: the authorization request, RFC 6749 section 4.1.1, RFC 7636 section 4.3.

use keystile_catalog::App;
use keystile_domain::{IntegrationId, TeamId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::FlowId;
use crate::{
    error::Error,
    integration::{Integration, check::scope_text},
    keys::{FLOW, Place},
    oauth::{endpoints, random},
    vault::Vault,
};

impl Vault {
    /// Where to send the browser. Each time it is asked there is a new state, and only the last one
    /// is good.
    pub(crate) async fn begin_connect(
        &self,
        integration: IntegrationId,
        cookie: &SecretString,
    ) -> Result<Url, Error> {
        let flow = self.flow_of(integration, cookie).await?;
        let found = self.store.find_integration(flow.team, flow.integration).await?;
        let (integration, sealed) = found.ok_or(Error::ConnectUnknown)?;
        integration.require_configured()?;
        let client = self.open_client(&integration, &sealed).await?;
        let app = self.app(flow.team, &integration.app).await?;
        let endpoint = client.endpoints.and_then(|endpoints| endpoints.authorization);
        let endpoint = endpoint.ok_or(Error::IntegrationNotConfigured("draft"))?;
        let (state, verifier) = (random::text(&*self.entropy), random::text(&*self.entropy));
        let url = self.authorization(endpoint, &integration, &app, &state, &verifier);
        let attempt = flow.attempt + 1;
        let row = flow.id.to_string();
        let place = flow_place(&row, flow.team, attempt);
        let secret = self.keys.seal(&place, verifier.expose_secret().as_bytes()).await?;
        let state = random::digest(&state);
        if self.store.begin_flow(flow.id, attempt, &state, &secret).await? {
            Ok(url)
        } else {
            // The button was pressed twice at once: the other press goes on.
            Err(Error::ConnectUnknown)
        }
    }

    /// The authorization request.
    fn authorization(
        &self,
        mut url: Url,
        integration: &Integration,
        app: &App,
        state: &SecretString,
        verifier: &SecretString,
    ) -> Url {
        let dialect = endpoints::dialect(app, integration.grant_type);
        let scope = scope_text(integration, app);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &integration.client_id)
            .append_pair("redirect_uri", &self.callback_url(integration.id))
            .append_pair("state", state.expose_secret());
        if !scope.is_empty() {
            query.append_pair("scope", &scope);
        }
        if dialect.is_none_or(|dialect| dialect.pkce) {
            query
                .append_pair("code_challenge", &random::challenge(verifier))
                .append_pair("code_challenge_method", "S256");
        }
        for (name, value) in dialect.iter().flat_map(|dialect| &dialect.authorize) {
            query.append_pair(name, value);
        }
        drop(query);
        url
    }

    /// The verifier of a flow's last attempt.
    pub(super) async fn verifier(
        &self,
        flow: FlowId,
        team: TeamId,
        attempt: u64,
        sealed: &[u8],
    ) -> Result<SecretString, Error> {
        let row = flow.to_string();
        let plaintext = self.keys.open_sealed(&flow_place(&row, team, attempt), sealed).await?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| Error::CorruptCredential)?;
        Ok(text.into())
    }
}

const fn flow_place(row: &str, team: TeamId, attempt: u64) -> Place<'_> {
    Place { purpose: FLOW, team, row, version: attempt }
}
