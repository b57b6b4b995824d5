//! `FactService`.

use keystile_contract::{
    Failure,
    convert::{from_scope, key_facts, parse, parse_optional, position, refusal},
    proto::issuance::v1::{
        AuthorizeRequest, AuthorizeResponse, ComponentHolder, LookupRequest, LookupResponse,
        ReleaseComponentsRequest, ReleaseComponentsResponse, SetScopeStatusRequest,
        SetScopeStatusResponse, authorize_response::Outcome, fact_service_server::FactService,
    },
};
use keystile_domain::KeyId;
use tonic::{Request, Response, Status};

use super::convert;
use crate::{
    Service,
    change::Origin,
    facts::{Authorized, NewScopeStatus},
    keys::release_components::Release,
};

/// Components of one app that can go at once.
const MOST_COMPONENTS: usize = 10_000;

#[tonic::async_trait]
impl FactService for Service {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let kid = parse("kid", &request.get_ref().kid)?;
        let (as_of, facts) = Service::lookup(self, kid).await?;
        Ok(Response::new(LookupResponse {
            as_of: Some(position(&as_of)),
            facts: facts.as_ref().map(key_facts),
        }))
    }

    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let AuthorizeRequest { key_id, component, connection_id } = request.get_ref();
        let key = parse("key_id", key_id)?;
        let component = parse("component", component)?;
        let connection = parse_optional("connection_id", connection_id)?;
        let (as_of, authorized) = Service::authorize(self, key, &component, connection).await?;
        let outcome = match authorized {
            Authorized::Capability(sealed) => Outcome::Capability(*sealed),
            Authorized::Refused(why) => Outcome::Refusal(refusal(why).into()),
        };
        Ok(Response::new(AuthorizeResponse {
            as_of: Some(position(&as_of)),
            outcome: Some(outcome),
        }))
    }

    async fn set_scope_status(
        &self,
        request: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        let deadline = self.deadline(request.metadata());
        let SetScopeStatusRequest { team_id, scope, usable, operation_id } = request.get_ref();
        let new = NewScopeStatus {
            team: parse("team_id", team_id)?,
            scope: from_scope("scope", scope.as_ref())?,
            usable: *usable,
            operation: parse("operation_id", operation_id)?,
        };
        let outcome = Service::set_scope_status(self, new, deadline).await?;
        Ok(Response::new(SetScopeStatusResponse { outcome: Some(convert::outcome(&outcome)) }))
    }

    async fn release_components(
        &self,
        request: Request<ReleaseComponentsRequest>,
    ) -> Result<Response<ReleaseComponentsResponse>, Status> {
        let deadline = self.deadline(request.metadata());
        let request = request.into_inner();
        if request.components.len() > MOST_COMPONENTS {
            let problem = "has more than 10000 members";
            return Err(Failure::invalid("components", problem).into());
        }
        let components = request.components.iter().enumerate();
        let components = components.map(|(at, id)| parse(&format!("components[{at}]"), id));
        let release = Release {
            team: parse("team_id", &request.team_id)?,
            app: parse("app_key", &request.app_key)?,
            components: components.collect::<Result<_, _>>()?,
            force: request.force,
        };
        let origin = Origin {
            actor: request.actor,
            label: request.actor_label,
            request_id: request.request_id,
            source_ip: parse_optional("source_ip", &request.source_ip)?,
        };
        let released = Service::release_components(self, &origin, &release, deadline).await?;
        let holder = |(id, name): &(KeyId, String)| ComponentHolder {
            key_id: id.to_string(),
            name: name.clone(),
        };
        Ok(Response::new(ReleaseComponentsResponse {
            holders: released.named.iter().map(holder).collect(),
            holder_count: released.count,
            outcome: released.outcome.as_ref().map(convert::outcome),
        }))
    }
}
