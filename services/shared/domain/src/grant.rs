//! Grants: what a key may do with one app.

use std::collections::BTreeSet;

use crate::{AppKey, ComponentId, ConnectionId, IntegrationId};

/// A grant breaks one of its own rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// A grant allows at least one component.
    #[error("a grant needs at least one component")]
    Empty,
    /// More than [`Grant::MAX_COMPONENTS`].
    #[error("a grant has at most 1000 components")]
    TooMany,
    /// A component of another app.
    #[error("{0} is not a component of this app")]
    ForeignComponent(ComponentId),
}

/// What a key may do with one app, and the account behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    app: AppKey,
    connection: Option<ConnectionId>,
    integration: Option<IntegrationId>,
    components: BTreeSet<ComponentId>,
}

impl Grant {
    /// The most components one grant lists.
    pub const MAX_COMPONENTS: usize = 1000;

    /// A grant for `components` of `app` through `connection`, which belongs to `integration`.
    ///
    /// # Errors
    /// [`InvalidGrant`] if there is no component, too many, or one of another app.
    pub fn new(
        app: AppKey,
        connection: Option<ConnectionId>,
        integration: Option<IntegrationId>,
        components: BTreeSet<ComponentId>,
    ) -> Result<Self, InvalidGrant> {
        if components.is_empty() {
            return Err(InvalidGrant::Empty);
        }
        if components.len() > Self::MAX_COMPONENTS {
            return Err(InvalidGrant::TooMany);
        }
        if let Some(foreign) = components.iter().find(|id| id.app() != app.as_str()) {
            return Err(InvalidGrant::ForeignComponent(foreign.clone()));
        }
        Ok(Self { app, connection, integration, components })
    }

    /// The app.
    #[must_use]
    pub const fn app(&self) -> &AppKey {
        &self.app
    }

    /// The connected account, where the app needs one.
    #[must_use]
    pub const fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The integration that the vault named for the connection when the grant was saved.
    #[must_use]
    pub const fn integration(&self) -> Option<IntegrationId> {
        self.integration
    }

    /// What may be used, in order. Never empty.
    #[must_use]
    pub const fn components(&self) -> &BTreeSet<ComponentId> {
        &self.components
    }

    /// Does this grant allow everything that `other` allowed, through the same account?
    /// Replacing a grant by one that does not is a cut.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.app == other.app
            && self.connection == other.connection
            && self.integration == other.integration
            && self.components.is_superset(&other.components)
    }
}
