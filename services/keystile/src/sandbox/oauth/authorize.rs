//! The authorization endpoint, RFC 6749 §4.1.1 and §4.1.2, with PKCE (RFC 7636) and `iss`
//! (RFC 9207).

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use keystile_domain::name::Name;

use super::{
    super::{Server, bearer::is_account},
    Answer,
    client::RedirectUri,
    error::{Code, Error},
    ledger::{Binding, Consent},
    page,
    parameters::Parameters,
    scope::Scopes,
    secret,
};

/// The account that the page proposes.
const DEFAULT_ACCOUNT: &str = "demo";
/// The longest state in bytes.
const MAX_STATE: usize = 2_000;

/// What a client asks for.
pub(super) struct Request {
    pub(super) client: String,
    pub(super) name: Name,
    pub(super) way_back: WayBack,
    pub(super) state: String,
    pub(super) scopes: Scopes,
    pub(super) challenge: String,
}

/// Where the answer goes: known to be the client's.
pub(super) struct WayBack {
    pub(super) uri: RedirectUri,
    issuer: String,
}

impl WayBack {
    fn go(&self, state: Option<&str>, answer: &[(&str, &str)]) -> Response {
        let state = state.map(|state| ("state", state));
        let issuer = ("iss", self.issuer.as_str());
        let all = answer.iter().copied().chain(state).chain([issuer]);
        // 303: what was posted here must not be posted there.
        Redirect::to(self.uri.with(all).as_str()).into_response()
    }

    fn refuse(&self, state: Option<&str>, error: Error) -> Response {
        let code = error.code.as_str();
        self.go(state, &[("error", code), ("error_description", error.description)])
    }
}

/// `GET /oauth/authorize`: asks the person.
pub(super) async fn ask(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    match read(&server, &parameters) {
        Ok(request) => page::consent(&request, DEFAULT_ACCOUNT, None),
        Err(refusal) => *refusal,
    }
}

/// `POST /oauth/authorize`: what the person answered, and the request again.
pub(super) async fn answer(
    State(server): State<Server>,
    headers: HeaderMap,
    form: Answer<Parameters>,
) -> Response {
    if from_another_site(&headers) {
        return page::refusal(StatusCode::FORBIDDEN, "Another site sent this answer, not you.");
    }
    let Ok(form) = form else { return unreadable() };
    let request = match read(&server, &form) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let (way_back, state) = (&request.way_back, Some(request.state.as_str()));
    match form.get("decision") {
        Ok(Some("allow")) => {}
        Ok(Some("deny")) => {
            let denied = Error::new(Code::AccessDenied, "the owner of the account said no");
            return way_back.refuse(state, denied);
        }
        _ => return unreadable(),
    }
    let account = form.get("account").ok().flatten().unwrap_or_default();
    if !is_account(account) {
        let wrong = "Use 1 to 32 letters (a to z), digits and hyphens.";
        return page::consent(&request, account, Some(wrong));
    }
    let code = server.ledger().code(Binding {
        consent: Consent {
            client: request.client.clone(),
            account: account.to_owned(),
            scopes: request.scopes,
        },
        redirect_uri: way_back.uri.as_str().to_owned(),
        challenge: request.challenge.clone(),
    });
    way_back.go(state, &[("code", &code)])
}

fn unreadable() -> Response {
    page::refusal(StatusCode::BAD_REQUEST, "The form that came with this answer is incomplete.")
}

/// No site but this one may answer for a person. Browsers say who asks; programs need not.
pub(super) fn from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin")
}

/// Reads a request. Until the redirect URI is known to be the client's, what is wrong is shown;
/// then it is told to the client.
fn read(server: &Server, parameters: &Parameters) -> Result<Request, Box<Response>> {
    let stay = |message| Box::new(page::refusal(StatusCode::BAD_REQUEST, message));
    let client = parameters.get("client_id").ok().flatten();
    let name = client.and_then(|client| server.clients().name(client));
    let (Some(client), Some(name)) = (client, name) else {
        return Err(stay("It names no program that is registered here (client_id)."));
    };
    let uri = parameters.get("redirect_uri").ok().flatten();
    let uri = uri.and_then(|uri| server.clients().redirect_uri(client, uri));
    let Some(uri) = uri else {
        return Err(stay(
            "It would send you to an address that the program did not register (redirect_uri).",
        ));
    };
    let way_back = WayBack { uri, issuer: server.issuer().to_owned() };
    let told = |state, error| Box::new(way_back.refuse(state, error));
    let state = state(parameters).map_err(|error| told(None, error))?.to_owned();
    let (scopes, challenge) =
        details(parameters).map_err(|error| told(Some(state.as_str()), error))?;
    Ok(Request { client: client.to_owned(), name, way_back, state, scopes, challenge })
}

fn state(parameters: &Parameters) -> Answer<&str> {
    let state = parameters.required("state", "state is required")?;
    // RFC 6749 appendix A.5.
    let visible = state.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if visible && state.len() <= MAX_STATE {
        return Ok(state);
    }
    Err(Error::new(Code::InvalidRequest, "state must be at most 2000 printable ASCII characters"))
}

fn details(parameters: &Parameters) -> Answer<(Scopes, String)> {
    let kind = parameters.required("response_type", "response_type is required")?;
    if kind != "code" {
        return Err(Error::new(Code::UnsupportedResponseType, "response_type must be code"));
    }
    if parameters.get("response_mode")?.is_some_and(|mode| mode != "query") {
        return Err(Error::new(Code::InvalidRequest, "response_mode must be query"));
    }
    let challenge = parameters.required("code_challenge", "code_challenge is required")?;
    // RFC 7636 §4.3: absent, it would be plain.
    if parameters.get("code_challenge_method")? != Some("S256") {
        return Err(Error::new(Code::InvalidRequest, "code_challenge_method must be S256"));
    }
    if !secret::is_pkce(challenge) {
        let wanted = "code_challenge must be 43 to 128 unreserved characters";
        return Err(Error::new(Code::InvalidRequest, wanted));
    }
    Ok((scopes(parameters)?, challenge.to_owned()))
}

/// The parameter `scope`; absent, everything that there is.
pub(super) fn scopes(parameters: &Parameters) -> Answer<Scopes> {
    match parameters.get("scope")? {
        None => Ok(Scopes::ALL),
        Some(text) => Scopes::parse(text)
            .ok_or(Error::new(Code::InvalidScope, "the scopes are notes.read and notes.write")),
    }
}
