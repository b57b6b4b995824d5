//! Connect flows.

use keystile_catalog::{App, AuthScheme};
use keystile_contract::{
    Failure,
    convert::{parse, timestamp},
    proto::vault::v1::{
        BeginConnectRequest, BeginConnectResponse, CompleteConnectRequest, CompleteConnectResponse,
        ConnectResult, OpenConnectRequest, OpenConnectResponse, RequestedScope,
        StartConnectRequest, StartConnectResponse, connect_service_server::ConnectService,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tonic::{Request, Response, Status, async_trait};
use tracing::instrument;

use super::{Connects, actor_of, convert, refuse};
use crate::{
    connect::{Account, Arrival, Ended, Start},
    error::Error,
    integration::Integration,
};

type Answer<T> = Result<Response<T>, Status>;

/// The longest text that a browser brings, bytes.
const LONGEST: usize = 8 << 10;

fn some(field: &str, text: String) -> Result<Option<String>, Failure> {
    if text.len() > LONGEST {
        return Err(Failure::invalid(field, "is too long"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn secret(field: &str, text: String) -> Result<Option<SecretString>, Failure> {
    Ok(some(field, text)?.map(Into::into))
}

/// What the app's document says of the scopes that an integration asks for.
fn described(app: &App, integration: &Integration) -> Vec<RequestedScope> {
    let scheme = integration.grant_type.scheme(app);
    let described = match scheme {
        Some(AuthScheme::OAuth2(scheme)) => scheme.scopes(),
        _ => std::collections::BTreeMap::new(),
    };
    let scopes = integration.scopes.iter().map(|scope| RequestedScope {
        scope: scope.clone(),
        description: described.get(scope.as_str()).copied().unwrap_or_default().to_owned(),
    });
    scopes.collect()
}

#[async_trait]
impl ConnectService for Connects {
    #[instrument(name = "vault.start_connect", skip_all)]
    async fn start_connect(
        &self,
        request: Request<StartConnectRequest>,
    ) -> Answer<StartConnectResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let account = if request.connection_id.is_empty() {
            Account::New(convert::name(&request.name)?)
        } else {
            Account::Again(parse("connection_id", &request.connection_id)?)
        };
        let start = Start {
            integration: parse("integration_id", &request.integration_id)?,
            account,
            variables: convert::variables(request.server_variables)?,
            return_url: some("return_url", request.return_url)?,
        };
        let started = self.0.start_connect(&actor, start).await.map_err(refuse)?;
        Ok(Response::new(StartConnectResponse {
            url: started.url.expose_secret().to_owned(),
            expires_at: Some(timestamp(started.expires_at)),
        }))
    }

    #[instrument(name = "vault.open_connect", skip_all)]
    async fn open_connect(
        &self,
        request: Request<OpenConnectRequest>,
    ) -> Answer<OpenConnectResponse> {
        let request = request.into_inner();
        let id = parse("integration_id", &request.integration_id)?;
        let ticket = secret("ticket", request.ticket)?;
        let cookie = secret("cookie", request.cookie)?;
        let opened =
            self.0.open_connect(id, ticket.as_ref(), cookie.as_ref()).await.map_err(refuse)?;
        let app = self.0.app(opened.flow.team, &opened.integration.app).await.map_err(refuse)?;
        let cookie = opened.cookie.as_ref().map(|cookie| cookie.expose_secret().to_owned());
        Ok(Response::new(OpenConnectResponse {
            cookie: cookie.unwrap_or_default(),
            requester: opened.flow.who.label,
            app_key: app.key.to_string(),
            app_name: app.name.clone(),
            integration_name: opened.integration.name.to_string(),
            connection_name: opened.flow.name.to_string(),
            reconnect: opened.flow.again.is_some(),
            scopes: described(&app, &opened.integration),
            expires_at: Some(timestamp(opened.flow.expires_at)),
        }))
    }

    #[instrument(name = "vault.begin_connect", skip_all)]
    async fn begin_connect(
        &self,
        request: Request<BeginConnectRequest>,
    ) -> Answer<BeginConnectResponse> {
        let request = request.into_inner();
        let id = parse("integration_id", &request.integration_id)?;
        let cookie = secret("cookie", request.cookie)?;
        let cookie = cookie.ok_or_else(|| refuse(Error::ConnectUnknown))?;
        let url = self.0.begin_connect(id, &cookie).await.map_err(refuse)?;
        Ok(Response::new(BeginConnectResponse { authorization_url: url.into() }))
    }

    #[instrument(name = "vault.complete_connect", skip_all)]
    async fn complete_connect(
        &self,
        request: Request<CompleteConnectRequest>,
    ) -> Answer<CompleteConnectResponse> {
        let request = request.into_inner();
        let state = secret("state", request.state)?;
        let arrival = Arrival {
            integration: parse("integration_id", &request.integration_id)?,
            cookie: secret("cookie", request.cookie)?,
            state: state.ok_or_else(|| refuse(Error::ConnectUnknown))?,
            code: secret("code", request.code)?,
            error: some("error", request.error)?,
            iss: some("iss", request.iss)?,
        };
        let completed = self.0.complete_connect(arrival).await.map_err(refuse)?;
        let mut answer = CompleteConnectResponse {
            app_name: completed.app_name,
            return_url: completed.return_url.unwrap_or_default(),
            ..Default::default()
        };
        match completed.ended {
            Ended::Connected { connection, missing } => {
                answer.set_result(ConnectResult::Connected);
                answer.connection_id = connection.id.to_string();
                answer.connection_name = connection.name.to_string();
                answer.missing_scopes = missing;
            }
            Ended::Denied => answer.set_result(ConnectResult::Denied),
            Ended::Failed { reason, detail } => {
                answer.set_result(ConnectResult::Failed);
                reason.clone_into(&mut answer.reason);
                answer.detail = detail;
            }
        }
        Ok(Response::new(answer))
    }
}
