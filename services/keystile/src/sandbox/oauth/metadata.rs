//! What the server can do, RFC 8414.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{super::Server, scope::Scope};

/// The first is the one that a client gets told.
pub(super) const CLIENT_AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];
pub(super) const GRANT_TYPES: [&str; 3] =
    ["authorization_code", "refresh_token", "client_credentials"];

/// `GET /.well-known/oauth-authorization-server`.
pub(super) async fn metadata(State(server): State<Server>) -> Json<Value> {
    let issuer = server.issuer();
    let at = |path: &str| format!("{issuer}/oauth/{path}");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "revocation_endpoint": at("revoke"),
        "registration_endpoint": at("register"),
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANT_TYPES,
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}
