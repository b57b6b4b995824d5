//! The answer of verification.

use crate::Grant;

/// Allow, or refuse with a reason. A refused key is a verdict, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'f> {
    /// The request may go on.
    Allow {
        /// The grant that allows the component; `None` if none was asked about.
        grant: Option<&'f Grant>,
    },
    /// It may not.
    Refuse(Refusal),
}

/// Why a key is refused. Only who proved the secret is told more than [`Refusal::Invalid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not a key, or not one of ours, or a secret that no longer is one.
    Invalid,
    /// The key was revoked or deleted.
    Revoked,
    /// The key, or the old secret of a rotation, is past its end.
    Expired,
    /// The key is disabled.
    Disabled,
    /// The key's team is suspended.
    Suspended,
    /// The team's plan has no API access.
    PlanRequired,
    /// No grant of the key names the component.
    ComponentNotAllowed,
    /// The grant names another account, or its account cannot be used now.
    ConnectionNotAllowed,
    /// The request came from outside the key's IP list.
    IpNotAllowed,
    /// Too many requests in a short time.
    RateLimited,
    /// The month's requests are used up.
    QuotaExceeded,
}

/// What a refusal means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// The key is no proof of anything now (REST 401).
    Unauthenticated,
    /// The key is good and may not do this (REST 403).
    Forbidden,
    /// The key may do this later (REST 429).
    Limited,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Revoked,
        Self::Expired,
        Self::Disabled,
        Self::Suspended,
        Self::PlanRequired,
        Self::ComponentNotAllowed,
        Self::ConnectionNotAllowed,
        Self::IpNotAllowed,
        Self::RateLimited,
        Self::QuotaExceeded,
    ];

    /// The stable code in APIs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::PlanRequired => "plan_required",
            Self::ComponentNotAllowed => "component_not_allowed",
            Self::ConnectionNotAllowed => "connection_not_allowed",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
        }
    }

    /// Who has to do something about it.
    #[must_use]
    pub const fn class(self) -> RefusalClass {
        match self {
            Self::Invalid | Self::Revoked | Self::Expired | Self::Disabled | Self::Suspended => {
                RefusalClass::Unauthenticated
            }
            Self::PlanRequired
            | Self::ComponentNotAllowed
            | Self::ConnectionNotAllowed
            | Self::IpNotAllowed => RefusalClass::Forbidden,
            Self::RateLimited | Self::QuotaExceeded => RefusalClass::Limited,
        }
    }
}
