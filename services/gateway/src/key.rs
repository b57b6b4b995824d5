//! A key that verification has just vouched for.

use keystile_contract::{
    Failure,
    convert::{from_environment, from_grant, from_limits, optional_wall, parse},
    proto::verification::v1::Allowed,
};
use keystile_domain::{Environment, Grant, KeyId, TeamId, limits::Limits};
use time::OffsetDateTime;

/// The facts of a verdict that allows. Only [`crate::enforce`] hands one to a handler.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) team: TeamId,
    pub(crate) name: String,
    pub(crate) environment: Environment,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) limits: Limits,
    pub(crate) remaining: Limits,
}

impl TryFrom<&Allowed> for Key {
    type Error = Failure;

    fn try_from(allowed: &Allowed) -> Result<Self, Failure> {
        let grants = allowed.grants.iter().map(|grant| from_grant("grants", grant));
        // Nothing may be left, so this is not a limit to be validated as one.
        let remaining = allowed.remaining.as_ref().map_or_else(Limits::default, |left| Limits {
            requests_per_minute: left.requests_per_minute,
            requests_per_month: left.requests_per_month,
        });
        Ok(Self {
            id: parse("key_id", &allowed.key_id)?,
            team: parse("team_id", &allowed.team_id)?,
            name: allowed.name.clone(),
            environment: from_environment(allowed.environment())
                .ok_or_else(|| Failure::invalid("environment", "is required"))?,
            expires_at: optional_wall("expires_at", allowed.expires_at.as_ref())?,
            grants: grants.collect::<Result<_, _>>()?,
            limits: from_limits("limits", allowed.limits.as_ref())?,
            remaining,
        })
    }
}
