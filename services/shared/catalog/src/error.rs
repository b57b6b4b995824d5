//! What can go wrong with a document, and with one request that is built from it.

use keystile_domain::ErrorKind;

/// A document that is no app, or inputs that make no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither YAML nor JSON.
    #[error("the document is not valid YAML or JSON: {0}")]
    Syntax(String),
    /// A limit of [`crate::limits`] is passed.
    #[error("the document has more than {limit} {what}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Another format, or another version of OpenAPI.
    #[error("expected an OpenAPI document of version 3.0 or 3.1")]
    Version,
    /// A part without which there is no app.
    #[error("{pointer}: {problem}")]
    Document {
        /// RFC 6901 pointer into the document.
        pointer: String,
        /// What is wrong there.
        problem: String,
    },
    /// The app has no server of its own, so none of its actions can be run.
    #[error("the app names no server")]
    NoServer,
    /// A server variable that the connection gave is unknown, missing or breaks its rule.
    #[error("server variable {name}: {problem}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it; never its value.
        problem: &'static str,
    },
    /// A trigger delivers; it is not run.
    #[error("a trigger cannot be run")]
    Trigger,
    /// An input cannot be carried by the request.
    #[error("{pointer}: {problem}")]
    Input {
        /// RFC 6901 pointer into the inputs.
        pointer: String,
        /// What is wrong with it; never its value.
        problem: &'static str,
    },
}

impl Error {
    /// What the failure means to whoever called.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_)
            | Self::TooLarge { .. }
            | Self::Version
            | Self::Document { .. }
            | Self::NoServer
            | Self::Variable { .. }
            | Self::Trigger
            | Self::Input { .. } => ErrorKind::Invalid,
        }
    }
}
