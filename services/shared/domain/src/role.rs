//! The roles a process can play.

/// One of the six services. A process plays any set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Teams, plans, keys, grants, the log.
    Issuance,
    /// Verdicts.
    Verification,
    /// Connections, credentials, the outside call.
    Vault,
    /// Registrations, events, deliveries.
    Triggers,
    /// The REST edge.
    Gateway,
    /// People: users, pages, management API.
    Console,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Issuance,
        Self::Verification,
        Self::Vault,
        Self::Triggers,
        Self::Gateway,
        Self::Console,
    ];

    /// The text in `--roles`, certificates, configuration and subkey labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuance => "issuance",
            Self::Verification => "verification",
            Self::Vault => "vault",
            Self::Triggers => "triggers",
            Self::Gateway => "gateway",
            Self::Console => "console",
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
