//! Integrations, and the way of a browser to a connected account.

use keystile_contract::{
    Failure, convert,
    proto::vault::v1::{
        connect_service_server::ConnectService, integration_service_server::IntegrationService, *,
    },
};
use keystile_domain::{Clock as _, ErrorKind, IntegrationId, Permission};
use tonic::{Request, Response, Status};

use super::Vault;

impl Vault {
    fn integration<M>(
        &self,
        request: &Request<M>,
        permission: Permission,
        id: &str,
    ) -> Result<Integration, Status> {
        let actor = self.actor(request)?;
        actor.require(permission).map_err(Failure::from)?;
        let rows = self.rows();
        let mut own = rows.integrations.iter().filter(|(owner, _)| owner.team == actor.team);
        let missing = Failure::new(ErrorKind::NotFound, "integration_not_found", "none such");
        let found = own.find(|(_, row)| row.id == id);
        found.map(|(_, row)| row.clone()).ok_or_else(|| missing.into())
    }

    fn store(&self, mut changed: Integration) -> Integration {
        changed.version += 1;
        let mut rows = self.rows();
        let row = rows.integrations.iter_mut().find(|(_, row)| row.id == changed.id);
        row.expect("it was found").1 = changed.clone();
        changed
    }
}

#[tonic::async_trait]
impl IntegrationService for Vault {
    async fn create_integration(
        &self,
        request: Request<CreateIntegrationRequest>,
    ) -> Result<Response<CreateIntegrationResponse>, Status> {
        let actor = self.actor(&request)?;
        actor.require(Permission::IntegrationsWrite).map_err(Failure::from)?;
        let message = request.into_inner();
        let id = IntegrationId::generate(self.clock.now(), &*self.entropy).to_string();
        let grant_type = match message.grant_type() {
            GrantType::Unspecified => GrantType::AuthorizationCode,
            given => given,
        };
        let callback_url = match grant_type {
            GrantType::ClientCredentials => String::new(),
            _ => format!("https://gateway.example.com/connect/callback/{id}"),
        };
        let integration = Integration {
            id,
            app_key: message.app_key,
            name: message.name,
            status: IntegrationStatus::Draft.into(),
            grant_type: grant_type.into(),
            client_id: message.client_id,
            has_client_secret: !message.client_secret.is_empty(),
            scopes: message.scopes,
            callback_url,
            return_urls: message.return_urls,
            created_at: Some(convert::timestamp(self.clock.now())),
            version: 1,
            ..Integration::default()
        };
        self.rows().secrets.push(message.client_secret);
        self.rows().integrations.push((actor, integration.clone()));
        Ok(Response::new(CreateIntegrationResponse { integration: Some(integration) }))
    }

    async fn list_integrations(
        &self,
        request: Request<ListIntegrationsRequest>,
    ) -> Result<Response<ListIntegrationsResponse>, Status> {
        let actor = self.actor(&request)?;
        let app = &request.get_ref().app_key;
        let rows = self.rows();
        let own = rows.integrations.iter().filter(|(owner, _)| owner.team == actor.team);
        let of_app = own.filter(|(_, row)| app.is_empty() || row.app_key == *app);
        let integrations = of_app.map(|(_, row)| row.clone()).collect();
        Ok(Response::new(ListIntegrationsResponse { integrations, next_page_token: String::new() }))
    }

    async fn get_integration(
        &self,
        request: Request<GetIntegrationRequest>,
    ) -> Result<Response<GetIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let integration = Some(self.integration(&request, Permission::Read, id)?);
        Ok(Response::new(GetIntegrationResponse { integration }))
    }

    async fn update_integration(
        &self,
        request: Request<UpdateIntegrationRequest>,
    ) -> Result<Response<UpdateIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let mut own = self.integration(&request, Permission::IntegrationsWrite, id)?;
        let message = request.into_inner();
        if message.version != 0 && message.version != own.version {
            let late = Failure::new(ErrorKind::Conflict, "integration_changed", "too late");
            return Err(late.into());
        }
        own.name = message.name.unwrap_or(own.name);
        own.client_id = message.client_id.unwrap_or(own.client_id);
        if let Some(secret) = message.client_secret {
            own.has_client_secret = !secret.is_empty();
            self.rows().secrets.push(secret);
        }
        own.scopes = message.scopes.map_or(own.scopes, |scopes| scopes.scopes);
        own.return_urls = message.return_urls.map_or(own.return_urls, |urls| urls.urls);
        Ok(Response::new(UpdateIntegrationResponse { integration: Some(self.store(own)) }))
    }

    async fn check_integration(
        &self,
        request: Request<CheckIntegrationRequest>,
    ) -> Result<Response<CheckIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let mut own = self.integration(&request, Permission::IntegrationsWrite, id)?;
        let ok = own.client_id != "unknown";
        if ok {
            own.set_status(IntegrationStatus::Configured);
        } else {
            "client_refused".clone_into(&mut own.status_reason);
        }
        let detail = if ok { "the provider knows it" } else { "it answered invalid_client" };
        let (integration, detail) = (Some(self.store(own)), detail.to_owned());
        Ok(Response::new(CheckIntegrationResponse { integration, ok, detail }))
    }

    async fn disable_integration(
        &self,
        request: Request<DisableIntegrationRequest>,
    ) -> Result<Response<DisableIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let mut own = self.integration(&request, Permission::IntegrationsWrite, id)?;
        own.set_status(IntegrationStatus::Disabled);
        let (integration, outcome) = (Some(self.store(own)), Some(self.outcome()));
        Ok(Response::new(DisableIntegrationResponse { integration, outcome }))
    }

    async fn enable_integration(
        &self,
        request: Request<EnableIntegrationRequest>,
    ) -> Result<Response<EnableIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let mut own = self.integration(&request, Permission::IntegrationsWrite, id)?;
        own.set_status(IntegrationStatus::Configured);
        let (integration, outcome) = (Some(self.store(own)), Some(self.outcome()));
        Ok(Response::new(EnableIntegrationResponse { integration, outcome }))
    }

    async fn delete_integration(
        &self,
        request: Request<DeleteIntegrationRequest>,
    ) -> Result<Response<DeleteIntegrationResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let own = self.integration(&request, Permission::IntegrationsWrite, id)?;
        self.rows().integrations.retain(|(_, row)| row.id != own.id);
        Ok(Response::new(DeleteIntegrationResponse { outcome: Some(self.outcome()) }))
    }
}

#[tonic::async_trait]
impl ConnectService for Vault {
    async fn start_connect(
        &self,
        request: Request<StartConnectRequest>,
    ) -> Result<Response<StartConnectResponse>, Status> {
        let id = &request.get_ref().integration_id;
        let own = self.integration(&request, Permission::ConnectionsWrite, id)?;
        self.rows().started.push(request.into_inner());
        let expires_at = self.clock.now() + std::time::Duration::from_mins(10);
        Ok(Response::new(StartConnectResponse {
            url: format!("https://gateway.example.com/connect/{}?ticket=t1", own.id),
            expires_at: Some(convert::timestamp(expires_at)),
        }))
    }

    async fn open_connect(
        &self,
        _: Request<OpenConnectRequest>,
    ) -> Result<Response<OpenConnectResponse>, Status> {
        Err(Status::permission_denied("the gateway alone may ask"))
    }

    async fn begin_connect(
        &self,
        _: Request<BeginConnectRequest>,
    ) -> Result<Response<BeginConnectResponse>, Status> {
        Err(Status::permission_denied("the gateway alone may ask"))
    }

    async fn complete_connect(
        &self,
        _: Request<CompleteConnectRequest>,
    ) -> Result<Response<CompleteConnectResponse>, Status> {
        Err(Status::permission_denied("the gateway alone may ask"))
    }
}
