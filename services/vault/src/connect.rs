//! Connecting an account: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), design §9.
//!
//! Three random texts carry a flow, and the store keeps only their digests. The *ticket* takes it
//! once from the console to a browser; the *cookie* binds it to that browser; the *state* comes back
//! once from the provider, to the callback of one integration, in that browser. Whoever lacks one of
//! them changes nothing. All of it ends after [`TTL`].

mod begin;
mod complete;
mod open;
mod start;

use std::{collections::BTreeMap, time::Duration};

use keystile_domain::{ConnectionId, IntegrationId, TeamId, name::Name};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::Who;
pub(crate) use complete::{Arrival, Ended};
pub(crate) use start::{Account, Start};

/// How long a flow lives.
pub(crate) const TTL: Duration = Duration::from_mins(10);

/// Names a flow inside vault. Not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowId(pub(crate) Uuid);

impl std::fmt::Display for FlowId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// One flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) team: TeamId,
    pub(crate) integration: IntegrationId,
    /// What the connection is called, or will be.
    pub(crate) name: Name,
    /// The connection to connect again; `None`: a new one.
    pub(crate) again: Option<ConnectionId>,
    pub(crate) variables: BTreeMap<String, String>,
    /// Who started it: the change is theirs.
    pub(crate) who: Who,
    /// Where the browser goes in the end.
    pub(crate) return_url: Option<String>,
    pub(crate) expires_at: OffsetDateTime,
    /// How often it was begun: the version of what is sealed for it.
    pub(crate) attempt: u64,
}
