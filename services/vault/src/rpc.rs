//! The gRPC face: convert, call, convert.

mod actions;
mod apps;
mod connect;
mod connections;
mod convert;
mod integrations;

use std::sync::Arc;

use keystile_contract::{Failure, actor};
use keystile_domain::Actor;
use tonic::{Request, Status};

use crate::{error::Error, vault::Vault};

/// `ConnectionService`.
pub(crate) struct Connections(pub(crate) Arc<Vault>);

/// `AppService`.
pub(crate) struct Apps(pub(crate) Arc<Vault>);

/// A message with the largest document there may be.
pub(crate) const LARGEST_DOCUMENT_MESSAGE: usize =
    keystile_catalog::limits::DOCUMENT_BYTES + (64 << 10);

/// `IntegrationService`.
pub(crate) struct Integrations(pub(crate) Arc<Vault>);

/// `ConnectService`.
pub(crate) struct Connects(pub(crate) Arc<Vault>);

/// `ActionService`.
pub(crate) struct Actions(pub(crate) Arc<Vault>);

/// Who asks, as the console vouches for it.
fn actor_of<T>(vault: &Vault, request: &Request<T>) -> Result<Actor, Failure> {
    actor::of_request(request.metadata(), &vault.seal_keys, vault.clock.now())
}

fn refuse(error: impl Into<Error>) -> Status {
    Failure::from(error.into()).into()
}
