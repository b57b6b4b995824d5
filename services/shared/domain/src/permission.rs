//! Who may manage what: the matrix of the design, §14.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{Environment, ManagementTokenId, TeamId, UserId};

/// The role of a person in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberRole {
    /// Sees.
    Viewer,
    /// Builds, outside production.
    Developer,
    /// Runs the team.
    Admin,
    /// Owns the team.
    Owner,
}

impl MemberRole {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Admin, Self::Owner];

    /// The text in APIs and databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What this role may do.
    #[must_use]
    pub fn permissions(self) -> BTreeSet<Permission> {
        Permission::ALL.into_iter().filter(|permission| permission.least_role() <= self).collect()
    }
}

/// One thing that a person may be allowed to do in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See keys, apps, connections, triggers, usage.
    Read,
    /// Create, edit, rotate, revoke, delete keys outside production.
    KeysWrite,
    /// The same for keys of environment `prod`.
    ProdKeysWrite,
    /// Create, test, delete connections.
    ConnectionsWrite,
    /// Create, change, delete triggers.
    TriggersWrite,
    /// Create, change, delete integrations.
    IntegrationsWrite,
    /// Add and remove the team's own apps.
    AppsWrite,
    /// Read and export the audit trail.
    AuditExport,
    /// Invite, change, remove members below owner.
    MembersWrite,
    /// Create and revoke management tokens.
    TokensWrite,
    /// Make and remove owners.
    OwnersWrite,
    /// Rename or delete the team.
    TeamWrite,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::KeysWrite,
        Self::ProdKeysWrite,
        Self::ConnectionsWrite,
        Self::TriggersWrite,
        Self::IntegrationsWrite,
        Self::AppsWrite,
        Self::AuditExport,
        Self::MembersWrite,
        Self::TokensWrite,
        Self::OwnersWrite,
        Self::TeamWrite,
    ];

    /// The text in sealed actors and error bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::KeysWrite => "keys_write",
            Self::ProdKeysWrite => "prod_keys_write",
            Self::ConnectionsWrite => "connections_write",
            Self::TriggersWrite => "triggers_write",
            Self::IntegrationsWrite => "integrations_write",
            Self::AppsWrite => "apps_write",
            Self::AuditExport => "audit_export",
            Self::MembersWrite => "members_write",
            Self::TokensWrite => "tokens_write",
            Self::OwnersWrite => "owners_write",
            Self::TeamWrite => "team_write",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }

    /// The permission to change keys of `environment`.
    #[must_use]
    pub const fn for_keys_in(environment: Environment) -> Self {
        match environment {
            Environment::Prod => Self::ProdKeysWrite,
            Environment::Stg | Environment::Dev => Self::KeysWrite,
        }
    }

    /// The lowest role that has it.
    #[must_use]
    pub const fn least_role(self) -> MemberRole {
        match self {
            Self::Read => MemberRole::Viewer,
            Self::KeysWrite | Self::ConnectionsWrite | Self::TriggersWrite => MemberRole::Developer,
            Self::ProdKeysWrite
            | Self::IntegrationsWrite
            | Self::AppsWrite
            | Self::AuditExport
            | Self::MembersWrite
            | Self::TokensWrite => MemberRole::Admin,
            Self::OwnersWrite | Self::TeamWrite => MemberRole::Owner,
        }
    }
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A person in a session.
    User(UserId),
    /// A management token, on behalf of the person who made it.
    Token(ManagementTokenId, UserId),
    /// Whoever holds the operator token. Belongs to no team.
    Operator,
}

/// Who asks for a change, as the console vouches for it in a sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// What the audit trail shows, for example an e-mail address.
    pub label: String,
    /// The team acted in; `None` for the operator alone.
    pub team: Option<TeamId>,
    /// What the principal may do there.
    pub permissions: BTreeSet<Permission>,
    /// The request, for correlation.
    pub request_id: String,
    /// Where the request came from.
    pub source_ip: Option<IpAddr>,
}

/// The actor may not do that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A permission is missing.
    #[error("needs the permission {}", .0.as_str())]
    Permission(Permission),
    /// Only the operator may.
    #[error("needs the operator token")]
    Operator,
}

impl Actor {
    /// The team acted in, if the actor has `permission` there.
    ///
    /// # Errors
    /// [`Denied::Permission`] otherwise; the operator acts in no team.
    pub fn require(&self, permission: Permission) -> Result<TeamId, Denied> {
        self.team
            .filter(|_| self.permissions.contains(&permission))
            .ok_or(Denied::Permission(permission))
    }

    /// Passes for the operator only.
    ///
    /// # Errors
    /// [`Denied::Operator`] for everyone else.
    pub fn require_operator(&self) -> Result<(), Denied> {
        if self.principal == Principal::Operator { Ok(()) } else { Err(Denied::Operator) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_the_one_of_the_design() {
        let count = |role: MemberRole| role.permissions().len();
        assert_eq!(MemberRole::ALL.map(count), [1, 4, 10, 12]);
        assert!(!MemberRole::Developer.permissions().contains(&Permission::ProdKeysWrite));
        assert!(!MemberRole::Admin.permissions().contains(&Permission::OwnersWrite));
    }
}
