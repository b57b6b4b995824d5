//! The sealed capability: what a key may do now, in `keystile-capability-bin`.

use keystile_domain::{
    ComponentId, ConnectionId, ErrorKind, IntegrationId, KeyId, Position, Role, Scope, TeamId,
};
use prost::Message;
use time::OffsetDateTime;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::{
    Failure, SealKeys,
    convert::{parse, parse_optional, position, required_position, text},
    proto::common::v1::{self as proto, SealKind, Sealed},
    seal::{self, CAPABILITY_TTL},
};

/// The metadata key.
pub const CAPABILITY_METADATA: &str = "keystile-capability-bin";

/// The right to use one component through one account, as of a position of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The team.
    pub team: TeamId,
    /// The key.
    pub key: KeyId,
    /// The component.
    pub component: ComponentId,
    /// The account; `None` where the app needs none.
    pub connection: Option<ConnectionId>,
    /// The integration that the account belongs to.
    pub integration: Option<IntegrationId>,
    /// What the facts behind it reflect.
    pub as_of: Position,
}

impl Capability {
    /// The scopes whose cuts make it stale.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let connection = self.connection.map(Scope::Connection);
        let integration = self.integration.map(Scope::Integration);
        [Scope::Key(self.key), Scope::Team(self.team)]
            .into_iter()
            .chain(connection)
            .chain(integration)
    }

    /// Seals it for `audience`.
    ///
    /// # Errors
    /// [`seal::Error::NoSubkey`] if this role mints no capabilities for that audience.
    pub fn seal(
        &self,
        audience: Role,
        keys: &SealKeys,
        now: OffsetDateTime,
    ) -> Result<Sealed, seal::Error> {
        let payload = proto::Capability {
            team_id: self.team.to_string(),
            key_id: self.key.to_string(),
            component: self.component.to_string(),
            connection_id: text(self.connection),
            integration_id: text(self.integration),
            as_of: Some(position(&self.as_of)),
        };
        keys.seal(SealKind::Capability, audience, now + CAPABILITY_TTL, payload.encode_to_vec())
    }
}

/// Attaches a sealed capability to a request's metadata.
pub fn attach(metadata: &mut MetadataMap, sealed: &Sealed) {
    metadata.insert_bin(CAPABILITY_METADATA, MetadataValue::from_bytes(&sealed.encode_to_vec()));
}

/// The capability of a request. The receiver still holds it against its lease and tombstones.
///
/// # Errors
/// [`Failure`] of kind unauthenticated if there is none that was sealed for this role and that is
/// still current.
pub fn of_request(
    metadata: &MetadataMap,
    keys: &SealKeys,
    now: OffsetDateTime,
) -> Result<Capability, Failure> {
    let unauthenticated =
        |message: &str| Failure::new(ErrorKind::Unauthenticated, "capability_required", message);
    let bytes = metadata
        .get_bin(CAPABILITY_METADATA)
        .and_then(|value| value.to_bytes().ok())
        .ok_or_else(|| unauthenticated("a sealed capability is required"))?;
    let sealed =
        Sealed::decode(bytes).map_err(|_| unauthenticated("the capability is malformed"))?;
    let (_, payload) = keys
        .open(SealKind::Capability, &sealed, now)
        .map_err(|error| unauthenticated(&error.to_string()))?;
    let capability = proto::Capability::decode(payload)
        .map_err(|_| unauthenticated("the capability is malformed"))?;
    Ok(Capability {
        team: parse("capability.team_id", &capability.team_id)?,
        key: parse("capability.key_id", &capability.key_id)?,
        component: parse("capability.component", &capability.component)?,
        connection: parse_optional("capability.connection_id", &capability.connection_id)?,
        integration: parse_optional("capability.integration_id", &capability.integration_id)?,
        as_of: required_position("capability.as_of", capability.as_of.as_ref())?,
    })
}
