//! Connecting accounts: the pages that a person's browser passes on its way to a provider and back
//! (design §9). Vault knows the flow; here are its cookie, its pages and its redirects.
//!
//! # The cookie
//! One for each integration, so that two flows in one browser end apart. A second flow of the same
//! integration takes the first one's place: a page of the first, still open in another tab, says so
//! instead of connecting what it does not show (`csrf`), and a late answer of its provider changes
//! nothing. `Lax`, because the provider sends the browser back from another site.
//!
//! # What stays in the address bar
//! Not the ticket: it is exchanged for the cookie and left by a redirect. The code of a provider
//! does, and is rendered over rather than redirected away from: it is spent by then, worthless
//! without the verifier that vault keeps, and a result page of its own would have to be told the
//! result by its address, where anybody could write one. If vault cannot be reached the code is not
//! spent, and loading the page again is what helps. No answer is stored, and none of its links or
//! redirects says where the browser came from.
//!
//! Every answer is a page, errors included ([`pages`]).

mod cookie;
mod notice;
mod origin;
mod page;
mod parameters;

use axum::{
    body::to_bytes,
    extract::{FromRequestParts, Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use keystile_contract::proto::vault::v1::{
    BeginConnectRequest, CompleteConnectRequest, CompleteConnectResponse, ConnectResult,
    OpenConnectRequest,
};
use keystile_domain::IntegrationId;
use secrecy::{ExposeSecret, SecretString};
use tonic::IntoRequest as _;
use url::Url;

use self::cookie::Jar;
pub(crate) use self::notice::{Notice, STATUSES};
use crate::{Config, Service, openapi::ConnectPages};

/// Where all of this is.
const UNDER: &str = "/connect/";

/// The longest body of a form here, bytes.
const LONGEST_FORM: usize = 1024;

/// How browsers see this gateway.
pub(crate) struct Site {
    /// Do they come over TLS? Then the cookie is for TLS alone.
    secure: bool,
    /// Its origin, RFC 6454, if it was told.
    origin: Option<String>,
}

impl Site {
    pub(crate) fn of(config: &Config) -> Self {
        let url = config.public_url.as_deref().and_then(|url| Url::parse(url).ok());
        Self {
            secure: url.as_ref().is_some_and(|url| url.scheme() == "https"),
            origin: url.map(|url| url.origin().ascii_serialization()),
        }
    }
}

/// A browser at the address of an integration.
pub(crate) struct Visit {
    integration: IntegrationId,
    jar: Jar,
    cookie: Option<SecretString>,
}

impl FromRequestParts<Service> for Visit {
    type Rejection = Notice;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Notice> {
        let path = Path::<String>::from_request_parts(parts, &()).await;
        let id = path.ok().and_then(|Path(text)| text.parse::<IntegrationId>().ok());
        let integration = id.ok_or_else(notice::unknown)?;
        let jar = Jar::new(integration, service.site().secure);
        let cookie = jar.find(&parts.headers);
        Ok(Self { integration, jar, cookie })
    }
}

/// Asks a person whether to connect an account.
///
/// A ticket is exchanged for a cookie, and the page is loaded again without it.
#[utoipa::path(
    get,
    path = "/connect/{integrationId}",
    operation_id = "openConnect",
    tag = "connect",
    params(
        ("integrationId" = String, Path, example = "int_01h455vb4pex5vsknk084sn02q"),
        ("ticket" = Option<String>, Query, description = "Opens a flow, once."),
    ),
    responses(
        (status = OK, description = "Who asks for what.", content_type = "text/html"),
        (status = SEE_OTHER, description = "To the same page without the ticket, with a cookie."),
        ConnectPages,
    )
)]
pub(crate) async fn open(
    State(service): State<Service>,
    method: Method,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Notice> {
    if method == Method::HEAD {
        return Ok(page::head());
    }
    let [ticket] = parameters::read(query.as_deref(), [("ticket", 1 << 10)])?;
    if ticket.is_empty() && visit.cookie.is_none() {
        return Err(notice::unknown());
    }
    let asked = OpenConnectRequest {
        integration_id: visit.integration.to_string(),
        cookie: text(visit.cookie.as_ref()),
        ticket: ticket.clone(),
    };
    let (deadline, mut vault) = (service.deadline(), service.connects().clone());
    let answer = deadline.call(asked.into_request(), |request| vault.open_connect(request));
    let opened = answer.await.map_err(|failure| notice::failed(&failure, notice::RELOAD))?;
    if !ticket.is_empty() {
        // Relative, for a proxy may have put a path before this one.
        let mut response = see_other(&visit.integration.to_string())?;
        if !opened.cookie.is_empty() {
            let cookie = visit.jar.keep(&opened.cookie);
            let cookie = cookie.ok_or_else(|| notice::defect("the cookie is not one"))?;
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        return Ok(response);
    }
    let Some(cookie) = &visit.cookie else { return Err(notice::unknown()) };
    Ok(page::consent(&opened, cookie::csrf(cookie), service.now()))
}

/// Sends a person on to the provider.
#[utoipa::path(
    post,
    path = "/connect/{integrationId}",
    operation_id = "beginConnect",
    tag = "connect",
    params(("integrationId" = String, Path, example = "int_01h455vb4pex5vsknk084sn02q")),
    responses(
        (status = SEE_OTHER, description = "To the provider's authorization endpoint."),
        ConnectPages,
    )
)]
pub(crate) async fn begin(
    State(service): State<Service>,
    visit: Visit,
    request: Request,
) -> Result<Response, Notice> {
    let own = service.site().origin.as_deref();
    if !origin::is_own(request.headers(), request.uri(), own) {
        return Err(notice::foreign());
    }
    let body = to_bytes(request.into_body(), LONGEST_FORM).await;
    let body = body.map_err(|_| notice::unreadable())?;
    let form = std::str::from_utf8(&body).map_err(|_| notice::unreadable())?;
    let [csrf] = parameters::read(Some(form), [("csrf", 64)])?;
    let cookie = visit.cookie.ok_or_else(notice::unknown)?;
    if !cookie::is_csrf(&cookie, &csrf) {
        return Err(notice::superseded(visit.integration));
    }
    let asked = BeginConnectRequest {
        integration_id: visit.integration.to_string(),
        cookie: cookie.expose_secret().to_owned(),
    };
    let (deadline, mut vault) = (service.deadline(), service.connects().clone());
    let answer = deadline.call(asked.into_request(), |request| vault.begin_connect(request));
    let begun = answer.await.map_err(|failure| notice::failed(&failure, notice::RELOAD))?;
    see_other(&begun.authorization_url)
}

/// The provider sends the browser back.
///
/// Other parameters than these are ignored.
#[utoipa::path(
    get,
    path = "/connect/callback/{integrationId}",
    operation_id = "completeConnect",
    tag = "connect",
    params(
        ("integrationId" = String, Path, example = "int_01h455vb4pex5vsknk084sn02q"),
        ("code" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("state" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("error" = Option<String>, Query, description = "RFC 6749 section 4.1.2.1."),
        ("error_description" = Option<String>, Query, description = "Ignored."),
        ("iss" = Option<String>, Query, description = "RFC 9207."),
    ),
    responses(
        (status = OK, description = "Connected, or the person said no.", content_type = "text/html"),
        (status = SEE_OTHER, description = "To the flow's return URL with `status` (`connected`, \
            `denied`, `failed`), `connection_id` if connected, `reason` if failed."),
        ConnectPages,
    )
)]
pub(crate) async fn complete(
    State(service): State<Service>,
    method: Method,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Notice> {
    if method == Method::HEAD {
        return Ok(page::head());
    }
    let [code, state, error, _, iss] = parameters::read(
        query.as_deref(),
        [
            ("code", 4 << 10),
            ("state", 4 << 10),
            ("error", 1 << 10),
            // Text of a stranger is not shown.
            ("error_description", 1 << 10),
            ("iss", 1 << 10),
        ],
    )?;
    let cookie = visit.cookie.ok_or_else(notice::unknown)?;
    let asked = CompleteConnectRequest {
        integration_id: visit.integration.to_string(),
        cookie: cookie.expose_secret().to_owned(),
        state,
        code,
        error,
        iss,
    };
    let (deadline, mut vault) = (service.deadline(), service.connects().clone());
    let answer = deadline.call(asked.into_request(), |request| vault.complete_connect(request));
    let ended = answer.await.map_err(|failure| notice::failed(&failure, notice::LOOK))?;
    tracing::info!(
        integration.id = %visit.integration,
        result = ended.result().as_str_name(),
        reason = ended.reason,
        "a connect flow ended"
    );
    let mut response = result(&ended).unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().append(header::SET_COOKIE, visit.jar.clear());
    Ok(response)
}

/// How it ended, told to whoever sent the browser, or else to the person.
fn result(ended: &CompleteConnectResponse) -> Result<Response, Notice> {
    let status = match ended.result() {
        ConnectResult::Connected => "connected",
        ConnectResult::Denied => "denied",
        ConnectResult::Failed => "failed",
        ConnectResult::Unspecified => return Err(notice::defect("vault gave no result")),
    };
    if !ended.return_url.is_empty() {
        let url = Url::parse(&ended.return_url);
        let mut url = url.map_err(|_| notice::defect("a return URL is none"))?;
        let told = [
            ("status", status),
            ("connection_id", &ended.connection_id),
            ("reason", &ended.reason),
        ];
        let told = told.into_iter().filter(|(_, value)| !value.is_empty());
        url.query_pairs_mut().extend_pairs(told);
        return see_other(url.as_str());
    }
    match ended.result() {
        ConnectResult::Connected => Ok(page::connected(ended)),
        ConnectResult::Denied => Err(notice::denied(ended)),
        ConnectResult::Failed | ConnectResult::Unspecified => Err(notice::not_connected(ended)),
    }
}

/// A redirect that the browser follows with GET, and that no log shows.
fn see_other(to: &str) -> Result<Response, Notice> {
    let location = HeaderValue::from_str(to);
    let mut location = location.map_err(|_| notice::defect("vault named no address"))?;
    location.set_sensitive(true);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

fn text(secret: Option<&SecretString>) -> String {
    secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
}

/// Turns every error under `/connect/` into a page, those of the edge included. Around all other
/// layers, for only the answer that leaves them names the request.
pub(crate) async fn pages(request: Request, next: Next) -> Response {
    let ours = request.uri().path().starts_with(UNDER);
    let mut response = next.run(request).await;
    let notice = match response.extensions_mut().remove::<Notice>() {
        Some(notice) => notice,
        None if ours && is_error(response.status()) => notice::of_status(response.status()),
        None => return response,
    };
    let id = request_id(response.headers()).to_owned();
    page::notice(response, &notice, &id)
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn request_id(headers: &HeaderMap) -> &str {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
}
