//! Enforcement: nothing about a component happens without a permit, and only this module makes one.
//!
//! Order of the answers: a key that was not proven is 401 whatever else is wrong; then 404 for a
//! component that does not exist, the same for every key; then 403 for one that is not granted.
//! When verification cannot answer it is 503, never 401: the key may be perfectly good.
//!
//! Permits and keys are extractors that come before the body's, so nothing of a body is read for
//! somebody who has proved nothing.

mod refusal;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use keystile_apps::Apps;
use keystile_contract::{
    Failure, Transport,
    convert::{parse, position, text},
    proto::{
        common::v1::Sealed,
        verification::v1::{
            Allowed, VerifyRequest, verification_service_client::VerificationServiceClient,
            verify_response::Verdict,
        },
    },
};
use keystile_domain::{Clock, ComponentId, ComponentKind, ErrorKind, Position, Role};
use keystile_runtime::Problem;
use secrecy::{ExposeSecret, SecretString};
use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

pub(crate) use self::refusal::unavailable;
use self::refusal::{defect, not_answered, refused};
use crate::{Service, auth, code, deadline::Deadline, item::Item, key::Key};

/// Asks verification.
pub(crate) struct Enforcer {
    verification: VerificationServiceClient<Transport>,
    /// Where it has a listener of its own; within this process it speaks for itself.
    health: Option<HealthClient<Transport>>,
    apps: Apps,
    clock: Arc<dyn Clock>,
}

/// Who asks: a token, unproven, and where from.
struct Caller {
    token: SecretString,
    source_ip: Option<IpAddr>,
    deadline: Deadline,
}

impl Caller {
    fn new(parts: &Parts, service: &Service) -> Result<Self, Problem> {
        let deadline = service.deadline();
        let token = auth::token(&parts.headers)?;
        Ok(Self { token, source_ip: service.client_ip(parts), deadline })
    }
}

/// The component that the path names. Percent-decoded exactly once, then held against the closed
/// grammar: whatever is not an id names nothing.
async fn named(parts: &mut Parts) -> Option<ComponentId> {
    let Path(text) = Path::<String>::from_request_parts(parts, &()).await.ok()?;
    text.parse().ok()
}

/// The right to look at one component, which the key was granted.
pub(crate) struct Permit {
    item: Item,
}

impl Permit {
    /// What it is for.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }
}

/// The right to run one action: what vault accepts as proof, and the way to get a fresher one.
pub(crate) struct RunPermit {
    item: Item,
    capability: Sealed,
    caller: Caller,
    enforcer: Arc<Enforcer>,
}

impl RunPermit {
    /// What it is for.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }

    /// What vault wants to see.
    pub(crate) const fn capability(&self) -> &Sealed {
        &self.capability
    }

    /// The time that the request has.
    pub(crate) const fn deadline(&self) -> &Deadline {
        &self.caller.deadline
    }

    /// The same right, from facts at least as new as `needed`.
    ///
    /// # Errors
    /// The key may no longer do it, or verification cannot say.
    pub(crate) async fn renew(&mut self, needed: &Position) -> Result<(), Problem> {
        let id = self.item.id();
        self.capability = self.enforcer.capability(&self.caller, id, Some(needed)).await?;
        Ok(())
    }
}

impl FromRequestParts<Service> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let caller = Caller::new(parts, service)?;
        service.enforcer().key(&caller).await
    }
}

impl FromRequestParts<Service> for Permit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let caller = Caller::new(parts, service)?;
        let enforcer = service.enforcer();
        let item = enforcer.existing(&caller, named(parts).await).await?;
        enforcer.verify(&caller, Some(item.id()), None, None).await?;
        Ok(Self { item })
    }
}

impl FromRequestParts<Service> for RunPermit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let caller = Caller::new(parts, service)?;
        let enforcer = Arc::clone(service.enforcer());
        let item = enforcer.existing(&caller, named(parts).await).await?;
        let id = item.id();
        match id.kind() {
            ComponentKind::Action => {
                let capability = enforcer.capability(&caller, id, None).await?;
                Ok(Self { item, capability, caller, enforcer })
            }
            ComponentKind::Trigger => {
                enforcer.verify(&caller, Some(id), None, None).await?;
                Err(code::NOT_RUNNABLE.problem())
            }
        }
    }
}

impl Enforcer {
    pub(crate) fn new(
        verification: Transport,
        health: Option<Transport>,
        apps: Apps,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let health = health.map(HealthClient::new);
        let verification = VerificationServiceClient::new(verification);
        Self { verification, health, apps, clock }
    }

    /// Can verification do its work? It says so by the standard health service; without one it is
    /// only asked whether it answers, which it does to an empty token without a look-up.
    pub(crate) async fn ready(&self, deadline: &Deadline) -> Result<(), Failure> {
        let Some(mut health) = self.health.clone() else {
            return self.send(VerifyRequest::default(), deadline).await.map(drop);
        };
        let asked = Request::new(HealthCheckRequest::default());
        let said = deadline.call(asked, |request| health.check(request)).await?;
        match said.status() {
            ServingStatus::Serving => Ok(()),
            _ => Err(Failure::new(ErrorKind::Unavailable, "unavailable", "it is not ready")),
        }
    }

    async fn send(
        &self,
        question: VerifyRequest,
        deadline: &Deadline,
    ) -> Result<Option<Verdict>, Failure> {
        let mut client = self.verification.clone();
        let answer = deadline.call(Request::new(question), |request| client.verify(request));
        Ok(answer.await?.verdict)
    }

    async fn verify(
        &self,
        caller: &Caller,
        component: Option<&ComponentId>,
        audience: Option<Role>,
        at_least: Option<&Position>,
    ) -> Result<Allowed, Problem> {
        let question = VerifyRequest {
            token: caller.token.expose_secret().to_owned(),
            component: text(component),
            connection_id: String::new(),
            source_ip: text(caller.source_ip),
            capability_audience: text(audience),
            at_least: at_least.map(position),
        };
        match self.send(question, &caller.deadline).await {
            Ok(Some(Verdict::Allowed(allowed))) => Ok(allowed),
            Ok(Some(Verdict::Refused(why))) => Err(refused(&why, component, self.clock.now())),
            Ok(None) => Err(defect("verification gave no verdict")),
            Err(failure) => Err(not_answered(&failure)),
        }
    }

    /// Proves the key alone.
    async fn key(&self, caller: &Caller) -> Result<Key, Problem> {
        let allowed = self.verify(caller, None, None, None).await?;
        Key::try_from(&allowed).map_err(|failure| defect(&failure.message))
    }

    /// The component of that id. Who has not proved a key is not told whether there is one.
    async fn existing(&self, caller: &Caller, id: Option<ComponentId>) -> Result<Item, Problem> {
        if let Some(item) = id.as_ref().and_then(|id| Item::of(self.apps.shipped(), id)) {
            return Ok(item);
        }
        let allowed = self.verify(caller, None, None, None).await?;
        let team = parse("team_id", &allowed.team_id).map_err(|why| defect(&why.message))?;
        let Some(id) = id else { return Err(code::UNKNOWN_COMPONENT.problem()) };
        // One that the team has added; if it is not known here, it may have been added just now.
        for age in [keystile_apps::FRESH, Duration::ZERO] {
            let own = self.apps.own(team, age).await.map_err(|why| unavailable(&why))?;
            if let Some(item) = Item::of(&own, &id) {
                return Ok(item);
            }
        }
        Err(code::UNKNOWN_COMPONENT.problem())
    }

    async fn capability(
        &self,
        caller: &Caller,
        component: &ComponentId,
        at_least: Option<&Position>,
    ) -> Result<Sealed, Problem> {
        let allowed = self.verify(caller, Some(component), Some(Role::Vault), at_least).await?;
        allowed.capability.ok_or_else(|| defect("verification gave no capability"))
    }
}
