//! Apps and their components, from OpenAPI documents.
//!
//! Owns the way from a document (OpenAPI 3.0 or 3.1, YAML or JSON) to an [`App`] with its
//! [`Component`]s, the check of inputs against a component's schema, and the HTTP request that
//! runs an action. The documents that ship with Keystile are in `apps/`.
//!
//! Documents come from teams, so they are not trusted: every cost is bounded ([`limits`]), nothing
//! outside the document is ever read, and what cannot be mapped is reported, not guessed.
//!
//! Never: opens a connection, a file or a credential. A request that leaves here has no credential
//! yet and cannot leave the app's base URL.

pub mod app;
pub mod catalog;
pub mod component;
mod document;
mod encode;
pub mod error;
pub mod extension;
mod headers;
pub mod limits;
pub mod operation;
mod reference;
pub mod report;
pub mod request;
mod schema;
pub mod security;
pub mod server;
mod slug;
mod text;
pub mod validate;

pub use app::App;
pub use catalog::Catalog;
pub use component::{Component, Source};
pub use error::Error;
pub use report::{Line, Report};
pub use request::OutsideRequest;
pub use security::{AuthScheme, Field, KeyPlace, OAuth2, OpenIdConnect};
pub use server::{Server, Variable};
pub use validate::Fault;
