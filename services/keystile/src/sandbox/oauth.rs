//! A small, strict OAuth 2.0 authorization server (RFC 6749) that owns the sandbox's accounts:
//! authorization code with PKCE (RFC 7636, S256 only) and client credentials, revocation
//! (RFC 7009), dynamic registration (RFC 7591), metadata (RFC 8414) and `iss` (RFC 9207).
//!
//! It does what RFC 9700 §4.14 asks of the careful: a refresh token works once, and one that comes
//! again ends everything that came of its authorization. A person is whoever names an account:
//! there are no passwords and no sessions.

mod authorize;
mod client;
mod error;
mod ledger;
mod metadata;
mod page;
mod parameters;
mod register;
mod revoke;
mod scope;
mod secret;
mod token;

use axum::{
    Router,
    routing::{get, post},
};

use super::Server;
pub(super) use client::Clients;
pub use client::{Client, MAX_CLIENTS};
pub(super) use ledger::Ledger;
pub(super) use scope::{Scope, Scopes};

type Answer<T> = Result<T, error::Error>;

pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::metadata))
        .route("/oauth/authorize", get(authorize::ask).post(authorize::answer))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/register", post(register::register))
        .route("/oauth/accounts/{account}/revoke", post(revoke::withdraw))
}

impl Server {
    /// The issuer, RFC 8414 §2: compared as text, so without the slash that a URL would add.
    fn issuer(&self) -> &str {
        self.0.base.as_str().trim_end_matches('/')
    }
}
