//! Dynamic registration, RFC 7591: open to whoever asks.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use keystile_domain::name::Name;
use keystile_runtime::{Problem, http::StrictJson};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::Server,
    Answer,
    client::{Credentials, REDIRECT_URIS},
    error::{Code, Error, NO_STORE},
    metadata::{CLIENT_AUTHENTICATION, GRANT_TYPES},
};

/// What a client says of itself. Members that are not here are ignored, RFC 7591 §2, and replaced
/// by what the answer says.
#[derive(Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
}

/// `POST /oauth/register`.
pub(super) async fn register(
    State(server): State<Server>,
    metadata: Result<StrictJson<Metadata>, Problem>,
) -> Answer<Response> {
    let Ok(StrictJson(metadata)) = metadata else {
        let wanted = "the body must be a JSON object with redirect_uris";
        return Err(Error::new(Code::InvalidClientMetadata, wanted));
    };
    let name = metadata.client_name.as_deref().unwrap_or("A program without a name");
    let name = Name::new(name).map_err(|_| {
        let wanted = "client_name must be 1 to 200 characters without markup and controls";
        Error::new(Code::InvalidClientMetadata, wanted)
    })?;
    let entropy = &*server.0.entropy;
    let registered = server.clients().register(name.clone(), &metadata.redirect_uris, entropy);
    let Credentials { id, secret } =
        registered.ok_or(Error::new(Code::InvalidRedirectUri, REDIRECT_URIS))?;
    let answer = json!({
        "client_id": id,
        "client_id_issued_at": server.0.clock.now().unix_timestamp(),
        "client_secret": secret,
        "client_secret_expires_at": 0,
        "client_name": name,
        "redirect_uris": metadata.redirect_uris,
        "token_endpoint_auth_method": CLIENT_AUTHENTICATION[0],
        "grant_types": GRANT_TYPES,
        "response_types": ["code"],
    });
    Ok((StatusCode::CREATED, NO_STORE, Json(answer)).into_response())
}
