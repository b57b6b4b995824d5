//! Facts for the roles that decide by them.

use keystile_contract::{capability::Capability, proto::common::v1::Sealed};
use keystile_domain::{
    ComponentId, ConnectionId, KeyId, Position, Refusal, Role, Verdict,
    facts::{KeyFacts, Request},
    token::Kid,
};

use crate::{
    Error, Service,
    store::{Epoch, FactsOf},
};

mod set_scope_status;

pub use set_scope_status::NewScopeStatus;

/// How many look-ups read at once: half of a pool's connections, so that in a storm of them changes
/// and renewals find one.
pub(crate) const READERS: usize = 4;

/// A capability, or why not.
#[derive(Debug)]
pub enum Authorized {
    /// Sealed by issuance for vault.
    Capability(Box<Sealed>),
    /// Why not.
    Refused(Refusal),
}

impl Service {
    /// What a verdict on a key depends on, and the head of the log, in one snapshot. A deleted key
    /// keeps its facts, as revoked.
    ///
    /// # Errors
    /// [`Error::Store`].
    #[tracing::instrument(name = "issuance.lookup", skip_all)]
    pub async fn lookup(&self, kid: Kid) -> Result<(Position, Option<KeyFacts>), Error> {
        let (epoch, facts) = self.facts(FactsOf::Kid(kid)).await?;
        Ok((epoch.position(), facts))
    }

    async fn facts(&self, of: FactsOf) -> Result<(Epoch, Option<KeyFacts>), Error> {
        let _reader = self.readers.acquire().await.map_err(|_| Error::Defect("closed readers"))?;
        self.store.facts(of).await
    }

    /// Decides afresh whether a key may use a component through an account with no caller behind
    /// it, and seals a capability.
    ///
    /// # Errors
    /// [`Error::Store`]. A refusal is an answer.
    #[tracing::instrument(name = "issuance.authorize", skip_all, fields(key.id = %key))]
    pub async fn authorize(
        &self,
        key: KeyId,
        component: &ComponentId,
        connection: Option<ConnectionId>,
    ) -> Result<(Position, Authorized), Error> {
        let (epoch, facts) = self.facts(FactsOf::Key(key)).await?;
        let as_of = epoch.position();
        let Some(facts) = facts else {
            return Ok((as_of, Authorized::Refused(Refusal::Invalid)));
        };
        let now = self.now();
        let request = Request { component: Some(component), connection, source_ip: None };
        let grant = match facts.decide_unattended(&request, now) {
            Verdict::Allow { grant: Some(grant) } => grant,
            Verdict::Allow { grant: None } => {
                return Err(Error::Defect("a component was allowed without a grant"));
            }
            Verdict::Refuse(refusal) => return Ok((as_of, Authorized::Refused(refusal))),
        };
        let capability = Capability {
            team: facts.team,
            key: facts.key,
            component: component.clone(),
            connection: grant.connection(),
            integration: grant.integration(),
            as_of,
        };
        let sealed = capability
            .seal(Role::Vault, &self.seal_keys, now)
            .map_err(|_| Error::Defect("no subkey to seal a capability for vault"))?;
        Ok((as_of, Authorized::Capability(Box::new(sealed))))
    }
}
