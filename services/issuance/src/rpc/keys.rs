//! `KeyService`.

use keystile_contract::{
    Failure,
    convert::{optional_wall, parse},
    proto::issuance::v1::{
        CreateKeyRequest, CreateKeyResponse, DeleteKeyRequest, DeleteKeyResponse,
        DisableKeyRequest, DisableKeyResponse, EnableKeyRequest, EnableKeyResponse,
        EndOverlapRequest, EndOverlapResponse, GetCutRequest, GetCutResponse, GetKeyRequest,
        GetKeyResponse, ListAuditRequest, ListAuditResponse, ListKeysRequest, ListKeysResponse,
        PutGrantRequest, PutGrantResponse, RegenerateKeyRequest, RegenerateKeyResponse,
        RemoveGrantRequest, RemoveGrantResponse, RevokeKeyRequest, RevokeKeyResponse,
        RotateKeyRequest, RotateKeyResponse, UpdateKeyRequest, UpdateKeyResponse,
        key_service_server::KeyService,
    },
};
use keystile_domain::{KeyId, Permission};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::convert;
use crate::{Error, Service};

fn key_id(text: &str) -> Result<KeyId, Failure> {
    parse("key_id", text)
}

/// Methods that change one key and answer with it: who calls, what is asked, how it ended.
macro_rules! changed {
    ($response:ident, $changed:expr) => {{
        let changed = $changed;
        Ok(Response::new($response {
            key: Some(convert::key(&changed.key)),
            outcome: Some(convert::outcome(&changed.outcome)),
        }))
    }};
}

/// The same for those that hand out a token: the one place where its text leaves.
macro_rules! issued {
    ($response:ident, $issued:expr) => {{
        let issued = $issued;
        Ok(Response::new($response {
            key: Some(convert::key(&issued.key)),
            token: issued.token.expose_secret().to_owned(),
            outcome: Some(convert::outcome(&issued.outcome)),
        }))
    }};
}

#[tonic::async_trait]
impl KeyService for Service {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let new = convert::new_key(request.get_ref())?;
        issued!(CreateKeyResponse, Service::create_key(self, &caller, new).await?)
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let list = convert::list(request.into_inner())?;
        let page = Service::list_keys(self, &actor, list).await?;
        Ok(Response::new(ListKeysResponse {
            keys: page.keys.iter().map(convert::key).collect(),
            next_page_token: page.next_page_token,
        }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let key = Service::get_key(self, &actor, key_id(&request.get_ref().key_id)?).await?;
        Ok(Response::new(GetKeyResponse { key: Some(convert::key(&key)) }))
    }

    async fn update_key(
        &self,
        request: Request<UpdateKeyRequest>,
    ) -> Result<Response<UpdateKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let (id, update) =
            (key_id(&request.get_ref().key_id)?, convert::update(request.get_ref())?);
        changed!(UpdateKeyResponse, Service::update_key(self, &caller, id, update).await?)
    }

    async fn put_grant(
        &self,
        request: Request<PutGrantRequest>,
    ) -> Result<Response<PutGrantResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        let grant = request.get_ref().grant.as_ref();
        let grant = grant.ok_or_else(|| Failure::invalid("grant", "is required"))?;
        let asked = convert::asked_grant("grant", grant)?;
        changed!(PutGrantResponse, Service::put_grant(self, &caller, id, &asked).await?)
    }

    async fn remove_grant(
        &self,
        request: Request<RemoveGrantRequest>,
    ) -> Result<Response<RemoveGrantResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        let app = parse("app_key", &request.get_ref().app_key)?;
        changed!(RemoveGrantResponse, Service::remove_grant(self, &caller, id, app).await?)
    }

    async fn disable_key(
        &self,
        request: Request<DisableKeyRequest>,
    ) -> Result<Response<DisableKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        changed!(DisableKeyResponse, Service::disable_key(self, &caller, id).await?)
    }

    async fn enable_key(
        &self,
        request: Request<EnableKeyRequest>,
    ) -> Result<Response<EnableKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        changed!(EnableKeyResponse, Service::enable_key(self, &caller, id).await?)
    }

    async fn regenerate_key(
        &self,
        request: Request<RegenerateKeyRequest>,
    ) -> Result<Response<RegenerateKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        issued!(RegenerateKeyResponse, Service::regenerate_key(self, &caller, id).await?)
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<RotateKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        let field = "overlap_ends_at";
        let end = optional_wall(field, request.get_ref().overlap_ends_at.as_ref())?;
        let end = end.ok_or_else(|| Failure::invalid(field, "is required"))?;
        issued!(RotateKeyResponse, Service::rotate_key(self, &caller, id, end).await?)
    }

    async fn end_overlap(
        &self,
        request: Request<EndOverlapRequest>,
    ) -> Result<Response<EndOverlapResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        changed!(EndOverlapResponse, Service::end_overlap(self, &caller, id).await?)
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        changed!(RevokeKeyResponse, Service::revoke_key(self, &caller, id).await?)
    }

    async fn delete_key(
        &self,
        request: Request<DeleteKeyRequest>,
    ) -> Result<Response<DeleteKeyResponse>, Status> {
        let caller = self.caller(&request, &request.get_ref().operation_id)?;
        let id = key_id(&request.get_ref().key_id)?;
        let outcome = Service::delete_key(self, &caller, id).await?;
        Ok(Response::new(DeleteKeyResponse { outcome: Some(convert::outcome(&outcome)) }))
    }

    async fn get_cut(
        &self,
        request: Request<GetCutRequest>,
    ) -> Result<Response<GetCutResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let deadline = self.deadline(request.metadata());
        let team = actor.require(Permission::Read).map_err(Error::from)?;
        let operation = parse("operation_id", &request.get_ref().operation_id)?;
        let outcome = Service::get_cut(self, team, operation, deadline).await?;
        Ok(Response::new(GetCutResponse { outcome: Some(convert::outcome(&outcome)) }))
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let actor = self.actor(request.metadata())?;
        let ListAuditRequest { page_size, page_token, subject_id } = request.get_ref();
        let page = Service::list_audit(self, &actor, *page_size, page_token, subject_id).await?;
        Ok(Response::new(ListAuditResponse {
            entries: page.entries.into_iter().map(convert::audit).collect(),
            next_page_token: page.next_page_token,
        }))
    }
}
