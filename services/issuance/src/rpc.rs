//! gRPC: convert, call, convert.

use std::time::Duration;

use keystile_contract::{
    Failure, actor,
    convert::parse_optional,
    deadline,
    proto::issuance::v1::{
        fact_service_server::FactServiceServer, key_service_server::KeyServiceServer,
        log_service_server::LogServiceServer, team_service_server::TeamServiceServer,
    },
};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Status, metadata::MetadataMap, service::Routes};

use crate::{Error, Service, keys::Caller};

mod convert;
mod facts;
mod keys;
mod log;
mod teams;

/// What is kept of a caller's deadline for the answer to travel, so that a pending cut is an answer
/// and not a time-out.
const TRAVEL: Duration = Duration::from_millis(100);

/// The services, without layers.
pub(crate) fn routes(service: &Service) -> Routes {
    Routes::new(KeyServiceServer::new(service.clone()))
        .add_service(TeamServiceServer::new(service.clone()))
        .add_service(FactServiceServer::new(service.clone()))
        .add_service(LogServiceServer::new(service.clone()))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

impl Service {
    /// Who calls, by the sealed actor.
    fn caller<M: Message>(&self, request: &Request<M>, operation: &str) -> Result<Caller, Failure> {
        let metadata = request.metadata();
        Ok(Caller {
            actor: self.actor(metadata)?,
            operation: parse_optional("operation_id", operation)?,
            deadline: self.deadline(metadata),
            request: Some(Sha256::digest(request.get_ref().encode_to_vec()).into()),
        })
    }

    fn actor(&self, metadata: &MetadataMap) -> Result<keystile_domain::Actor, Failure> {
        actor::of_request(metadata, &self.seal_keys, self.clock.now())
    }

    /// When the caller must have an answer: its own deadline, or the configured one if that is
    /// sooner.
    fn deadline(&self, metadata: &MetadataMap) -> keystile_domain::Tick {
        let longest = self.config.cut_timeout();
        let asked = deadline::asked(metadata.as_ref());
        let time = asked.map_or(longest, |asked| asked.saturating_sub(TRAVEL.min(asked / 4)));
        self.clock.tick() + time.min(longest)
    }
}
