//! The gRPC face: convert, call, convert.

mod actions;
mod connections;
mod convert;

use std::sync::Arc;

use keystile_contract::{Failure, actor};
use keystile_domain::Actor;
use tonic::{Request, Status};

use crate::{error::Error, vault::Vault};

/// `ConnectionService`.
pub(crate) struct Connections(pub(crate) Arc<Vault>);

/// `ActionService`.
pub(crate) struct Actions(pub(crate) Arc<Vault>);

/// Who asks, as the console vouches for it.
fn actor_of<T>(vault: &Vault, request: &Request<T>) -> Result<Actor, Failure> {
    actor::of_request(request.metadata(), &vault.seal_keys, vault.clock.now())
}

fn refuse(error: impl Into<Error>) -> Status {
    Failure::from(error.into()).into()
}
