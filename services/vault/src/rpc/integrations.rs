//! Integrations of teams.

use keystile_contract::{
    Failure,
    convert::{parse, parse_optional, receipt, timestamp},
    deadline,
    proto::{
        common::v1::Outcome,
        vault::v1::{
            self as proto, CheckIntegrationRequest, CheckIntegrationResponse,
            CreateIntegrationRequest, CreateIntegrationResponse, DeleteIntegrationRequest,
            DeleteIntegrationResponse, DisableIntegrationRequest, DisableIntegrationResponse,
            EnableIntegrationRequest, EnableIntegrationResponse, GetIntegrationRequest,
            GetIntegrationResponse, IntegrationStatus, ListIntegrationsRequest,
            ListIntegrationsResponse, UpdateIntegrationRequest, UpdateIntegrationResponse,
            integration_service_server::IntegrationService,
        },
    },
};
use tonic::{Request, Response, Status as Refused, async_trait};
use tracing::instrument;

use super::{Integrations, actor_of, convert, refuse};
use crate::{
    integration::{
        GrantType, Integration, Status, create::Create, switch::Switched, update::Update,
    },
    store::integrations::IntegrationPage,
};

type Answer<T> = Result<Response<T>, Refused>;

impl Integrations {
    fn shown(&self, integration: &Integration) -> proto::Integration {
        proto::Integration {
            id: integration.id.to_string(),
            app_key: integration.app.to_string(),
            name: integration.name.to_string(),
            status: match integration.status {
                Status::Draft => IntegrationStatus::Draft,
                Status::Configured => IntegrationStatus::Configured,
                Status::Disabled => IntegrationStatus::Disabled,
            }
            .into(),
            status_reason: integration.status_reason.clone(),
            grant_type: match integration.grant_type {
                GrantType::AuthorizationCode => proto::GrantType::AuthorizationCode,
                GrantType::ClientCredentials => proto::GrantType::ClientCredentials,
            }
            .into(),
            client_id: integration.client_id.clone(),
            has_client_secret: integration.has_secret,
            scopes: integration.scopes.clone(),
            callback_url: self.0.shown_callback_url(integration),
            return_urls: integration.return_urls.clone(),
            created_at: Some(timestamp(integration.created_at)),
            version: integration.version,
        }
    }
}

fn grant_type(value: i32) -> Result<Option<GrantType>, Failure> {
    match proto::GrantType::try_from(value) {
        Ok(proto::GrantType::Unspecified) => Ok(None),
        Ok(proto::GrantType::AuthorizationCode) => Ok(Some(GrantType::AuthorizationCode)),
        Ok(proto::GrantType::ClientCredentials) => Ok(Some(GrantType::ClientCredentials)),
        Err(_) => Err(Failure::invalid("grant_type", "is not a grant type")),
    }
}

fn outcome(switched: &Switched) -> Outcome {
    Outcome {
        operation_id: switched.operation.to_string(),
        receipt: switched.receipt.as_ref().map(receipt),
        pending: !switched.settled,
    }
}

#[async_trait]
impl IntegrationService for Integrations {
    #[instrument(name = "vault.create_integration", skip_all)]
    async fn create_integration(
        &self,
        request: Request<CreateIntegrationRequest>,
    ) -> Answer<CreateIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let create = Create {
            app: parse("app_key", &request.app_key)?,
            name: convert::name(&request.name)?,
            grant_type: grant_type(request.grant_type)?,
            client_id: request.client_id,
            client_secret: request.client_secret.into(),
            scopes: request.scopes,
            return_urls: request.return_urls,
        };
        let created = self.0.create_integration(&actor, create).await.map_err(refuse)?;
        let integration = Some(self.shown(&created));
        Ok(Response::new(CreateIntegrationResponse { integration }))
    }

    #[instrument(name = "vault.list_integrations", skip_all)]
    async fn list_integrations(
        &self,
        request: Request<ListIntegrationsRequest>,
    ) -> Answer<ListIntegrationsResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let page = IntegrationPage {
            app: parse_optional("app_key", &request.app_key)?,
            before: parse_optional("page_token", &request.page_token)?,
            limit: convert::page_size(request.page_size)?,
        };
        let page = self.0.list_integrations(&actor, page).await.map_err(refuse)?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Response::new(ListIntegrationsResponse {
            next_page_token: last.map(|last| last.id.to_string()).unwrap_or_default(),
            integrations: page.items.iter().map(|one| self.shown(one)).collect(),
        }))
    }

    #[instrument(name = "vault.get_integration", skip_all)]
    async fn get_integration(
        &self,
        request: Request<GetIntegrationRequest>,
    ) -> Answer<GetIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let id = parse("integration_id", &request.get_ref().integration_id)?;
        let found = self.0.get_integration(&actor, id).await.map_err(refuse)?;
        let integration = Some(self.shown(&found));
        Ok(Response::new(GetIntegrationResponse { integration }))
    }

    #[instrument(name = "vault.update_integration", skip_all)]
    async fn update_integration(
        &self,
        request: Request<UpdateIntegrationRequest>,
    ) -> Answer<UpdateIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let request = request.into_inner();
        let id = parse("integration_id", &request.integration_id)?;
        let update = Update {
            version: Some(request.version).filter(|version| *version > 0),
            name: request.name.as_deref().map(convert::name).transpose()?,
            client_id: request.client_id,
            client_secret: request.client_secret.map(Into::into),
            scopes: request.scopes.map(|scopes| scopes.scopes),
            return_urls: request.return_urls.map(|urls| urls.urls),
        };
        let updated = self.0.update_integration(&actor, id, update).await.map_err(refuse)?;
        let integration = Some(self.shown(&updated));
        Ok(Response::new(UpdateIntegrationResponse { integration }))
    }

    #[instrument(name = "vault.check_integration", skip_all)]
    async fn check_integration(
        &self,
        request: Request<CheckIntegrationRequest>,
    ) -> Answer<CheckIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let id = parse("integration_id", &request.get_ref().integration_id)?;
        let checked = self.0.check_integration(&actor, id).await.map_err(refuse)?;
        Ok(Response::new(CheckIntegrationResponse {
            integration: Some(self.shown(&checked.integration)),
            ok: checked.ok,
            detail: checked.detail,
        }))
    }

    #[instrument(name = "vault.disable_integration", skip_all)]
    async fn disable_integration(
        &self,
        request: Request<DisableIntegrationRequest>,
    ) -> Answer<DisableIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let id = parse("integration_id", &request.get_ref().integration_id)?;
        let switched = self.0.disable_integration(&actor, id, wait).await.map_err(refuse)?;
        Ok(Response::new(DisableIntegrationResponse {
            integration: Some(self.shown(&switched.integration)),
            outcome: Some(outcome(&switched)),
        }))
    }

    #[instrument(name = "vault.enable_integration", skip_all)]
    async fn enable_integration(
        &self,
        request: Request<EnableIntegrationRequest>,
    ) -> Answer<EnableIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let id = parse("integration_id", &request.get_ref().integration_id)?;
        let switched = self.0.enable_integration(&actor, id, wait).await.map_err(refuse)?;
        Ok(Response::new(EnableIntegrationResponse {
            integration: Some(self.shown(&switched.integration)),
            outcome: Some(outcome(&switched)),
        }))
    }

    #[instrument(name = "vault.delete_integration", skip_all)]
    async fn delete_integration(
        &self,
        request: Request<DeleteIntegrationRequest>,
    ) -> Answer<DeleteIntegrationResponse> {
        let actor = actor_of(&self.0, &request)?;
        let wait = self.0.config.cut_wait(deadline::asked(request.metadata().as_ref()));
        let id = parse("integration_id", &request.get_ref().integration_id)?;
        let deleted = self.0.delete_integration(&actor, id, wait).await.map_err(refuse)?;
        let outcome = Some(convert::deleted(&deleted));
        Ok(Response::new(DeleteIntegrationResponse { outcome }))
    }
}
