//! Using a management token: who it speaks for, and what it is worth now.

use std::net::IpAddr;

use keystile_domain::{
    Actor, MemberRole, Permission, TeamId, UserId,
    permission::{Denied, Principal},
};
use time::OffsetDateTime;

use crate::{Error, Service, token};

/// Why a bearer token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none.
    #[error("send a management token as `Authorization: Bearer ksm_…`")]
    Missing,
    /// It is no management token, or none of ours.
    #[error("this is not a management token of this installation")]
    Invalid,
    /// It is a key. Keys run actions at the gateway and manage nothing.
    #[error("a key does not open the management API; send a management token, ksm_…")]
    Key,
    /// It was revoked.
    #[error("this management token has been revoked")]
    Revoked,
    /// It is past its end.
    #[error("this management token has expired")]
    Expired,
    /// Whoever made it is no longer in the team.
    #[error("whoever made this management token is no longer a member of the team")]
    CreatorLeft,
    /// It is not the operator token.
    #[error("send the operator token as `Authorization: Bearer …`")]
    NotOperator,
}

impl Unusable {
    /// The stable code.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "token_required",
            Self::Invalid => "invalid_token",
            Self::Key => "key_not_accepted",
            Self::Revoked => "token_revoked",
            Self::Expired => "token_expired",
            Self::CreatorLeft => "token_creator_left",
            Self::NotOperator => "operator_token_required",
        }
    }
}

/// A person's tool at work in a team.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whom the services are told about.
    pub(crate) actor: Actor,
    /// The team.
    pub(crate) team: TeamId,
    /// The person behind the token.
    pub(crate) user: UserId,
    /// What the token is worth now.
    pub(crate) role: MemberRole,
}

impl Caller {
    /// Passes if the caller has `permission`.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Denied> {
        self.actor.require(permission).map(|_| ())
    }
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) request_id: String,
    pub(crate) source_ip: Option<IpAddr>,
}

impl Service {
    /// Who `text` speaks for at `now`, looked up afresh: a revoked token or a lowered role counts
    /// from the next request on.
    pub(crate) async fn caller(
        &self,
        text: &str,
        origin: Origin,
        now: OffsetDateTime,
    ) -> Result<Caller, Error> {
        let Some(digest) = token::recognise(text) else {
            let key = text.starts_with("ks_");
            return Err(if key { Unusable::Key } else { Unusable::Invalid }.into());
        };
        let holder = self.store().holder(&digest).await?.ok_or(Unusable::Invalid)?;
        let token = holder.token;
        if token.revoked_at.is_some() {
            return Err(Unusable::Revoked.into());
        }
        if token.expires_at.is_some_and(|end| end <= now) {
            return Err(Unusable::Expired.into());
        }
        let role = holder.role.ok_or(Unusable::CreatorLeft)?.min(token.role);
        let actor = Actor {
            principal: Principal::Token(token.id, token.created_by),
            label: format!("{} ({})", holder.email, token.name),
            team: Some(token.team),
            permissions: role.permissions(),
            request_id: origin.request_id,
            source_ip: origin.source_ip,
        };
        Ok(Caller { actor, team: token.team, user: token.created_by, role })
    }
}
