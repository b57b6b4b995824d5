//! Capabilities: an allowed question, sealed for who acts on it.

use keystile_contract::{SealKeys, capability::Capability, proto::common::v1::Sealed};
use keystile_domain::{ComponentId, Role};
use time::OffsetDateTime;

use crate::{Allowed, Error};

/// Seals what `allowed` allows for `audience`; `None` if no component was asked about.
pub(crate) fn mint(
    allowed: &Allowed,
    component: Option<&ComponentId>,
    audience: Role,
    keys: &SealKeys,
    now: OffsetDateTime,
) -> Result<Option<Sealed>, Error> {
    let Some((component, grant)) = component.zip(allowed.grant()) else { return Ok(None) };
    let facts = allowed.facts();
    let capability = Capability {
        team: facts.team,
        key: facts.key,
        component: component.clone(),
        connection: grant.connection(),
        integration: grant.integration(),
        as_of: allowed.as_of(),
    };
    let sealed = capability.seal(audience, keys, now);
    sealed.map(Some).map_err(|_| Error::Defect("no subkey to seal capabilities with"))
}
