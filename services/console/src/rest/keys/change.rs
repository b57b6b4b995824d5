//! One change to a key on its way to issuance.

use axum::{extract::FromRequestParts, http::request::Parts};
use keystile_contract::{Transport, proto::issuance::v1::key_service_client::KeyServiceClient};
use keystile_domain::{ErrorKind, KeyId, OperationId, Permission, Role};
use keystile_runtime::Problem;
use tonic::{Request, Response, Status};

use crate::{
    Service,
    error::Error,
    rest::{
        extract::{IdempotencyKey, NoQuery, PathId},
        problem,
    },
    token_use::Caller,
};

/// Who asks for a change, and what it will be known by.
pub(in crate::rest) struct Change {
    service: Service,
    caller: Caller,
    operation: OperationId,
}

/// A change to the key of the path, asked for by someone who may change keys. Whether they may
/// change this one, issuance decides.
pub(in crate::rest) struct KeyAction {
    pub(super) change: Change,
    pub(super) id: KeyId,
}

impl FromRequestParts<Service> for KeyAction {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, service).await?;
        caller.require(Permission::KeysWrite).map_err(Error::from)?;
        NoQuery::from_request_parts(parts, service).await?;
        let PathId(id) = PathId::from_request_parts(parts, service).await?;
        let key = IdempotencyKey::from_request_parts(parts, service).await?;
        let operation = key.operation(service, caller.team);
        Ok(Self { change: Change::new(service.clone(), caller, operation), id })
    }
}

impl Change {
    pub(super) const fn new(service: Service, caller: Caller, operation: OperationId) -> Self {
        Self { service, caller, operation }
    }

    /// What the change will be known by.
    pub(super) const fn operation(&self) -> OperationId {
        self.operation
    }

    pub(super) fn require(&self, permission: Permission) -> Result<(), Problem> {
        self.caller.require(permission).map_err(|denied| Error::from(denied).into())
    }

    pub(super) fn keys(&self) -> KeyServiceClient<Transport> {
        self.service.peers().keys()
    }

    pub(super) fn request<M>(&self, message: M) -> Result<Request<M>, Problem> {
        Ok(self.service.peers().request(Role::Issuance, &self.caller.actor, message)?)
    }

    /// The answer to a call made with [`Self::request`]. Where the outcome is unknown, the problem
    /// names the operation, so that it can be asked for.
    pub(super) async fn answer<A>(
        &self,
        call: impl Future<Output = Result<Response<A>, Status>>,
        names: &[(&str, &str)],
    ) -> Result<A, Problem> {
        self.service.peers().answer(call).await.map_err(|failure| match failure.kind {
            ErrorKind::Timeout | ErrorKind::Unavailable => {
                problem::of(failure.with("operation_id", self.operation), names)
            }
            _ => problem::of(failure, names),
        })
    }
}
