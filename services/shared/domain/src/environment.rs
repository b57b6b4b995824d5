//! The environment a key is made for.

use serde::{Deserialize, Serialize};

/// Where a key is used. Part of the token's text and of what its tag authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    Prod,
    /// Staging.
    Stg,
    /// Development.
    Dev,
}

impl Environment {
    /// Every environment.
    pub const ALL: [Self; 3] = [Self::Prod, Self::Stg, Self::Dev];

    /// The text in tokens, APIs and databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Stg => "stg",
            Self::Dev => "dev",
        }
    }

    /// The byte under the token's MAC. Never reused.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Prod => 1,
            Self::Stg => 2,
            Self::Dev => 3,
        }
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|env| env.as_str() == text)
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
