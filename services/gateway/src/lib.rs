//! The gateway: the REST edge that programs call with a key.
//!
//! # What it owns
//! The routes of `/api/v1`, the way a key is read from a request (`auth`), enforcement (`enforce`:
//! nothing about a component happens without a permit that only it can make), the stable codes of
//! every error (`code`), and the OpenAPI document (`openapi`), which is generated from the handlers
//! and that table. And the pages on which a person connects an account (`connect`): they answer in
//! HTML whatever happens. It stores nothing.
//!
//! # What it never does
//! It never decides about a key (verification does), never sees a credential (vault injects it; the
//! one-use code of a provider passes through and is worthless without vault), never holds a sealing
//! key or a database connection, and passes no header of a request on to any service but the cookie
//! of a connect flow to vault: `keystile-*` metadata is only ever what verification sealed.
//!
//! # The way of one run
//! 1. [`keystile_runtime::http::harden`] gives the request an id, bounds it and refuses repeated
//!    headers.
//! 2. `enforce::RunPermit` is extracted from the head of the request: the key is read, the
//!    component is looked up, verification is asked for a verdict and a sealed capability. 401
//!    before 404 before 403; 503 when there is no verdict. The body has not been read yet.
//! 3. The body is read as strict JSON, and its inputs are held against the component's schema: 422
//!    with the JSON pointer of each fault.
//! 4. Vault runs the action with the capability, once for an `Idempotency-Key`. If that is older than a cut, the gateway asks
//!    verification once more for a newer one, and vault once more; never a third time.
//! 5. A 2xx of the app is `{"outputs": …}`; anything else of the app is a 502 `app_error` with
//!    `upstreamStatus` and the app's answer in `outputs`. Selected headers of the app come along as
//!    `Keystile-Upstream-…` (`upstream`).
//!
//! Every call carries what is left of the request's time as its `grpc-timeout`.

mod auth;
mod code;
mod config;
mod connect;
mod deadline;
mod discover;
mod docs;
mod enforce;
mod health;
mod idempotency;
mod item;
mod key;
mod me;
mod openapi;
mod query;
mod run;
mod upstream;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{Method, StatusCode, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use keystile_apps::Apps;
use keystile_catalog::Catalog;
use keystile_contract::{
    Transport,
    proto::vault::v1::{
        action_service_client::ActionServiceClient, connect_service_client::ConnectServiceClient,
    },
};
use keystile_domain::{Clock, InvalidSetting};
use keystile_runtime::http::{client_ip, harden};
use time::OffsetDateTime;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use crate::{
    code::Code,
    config::{Config, Limits},
};
use crate::{connect::Site, deadline::Deadline, enforce::Enforcer};

/// What an app may answer, as vault passes it on; egress bounds it further.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The time for the question of [`Service::ready`].
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// The listener's own timeout comes this much after the one that handlers work with, so that who
/// waits is told what was waited for.
const BACKSTOP: Duration = Duration::from_secs(1);

/// What the gateway works with.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The way to verification.
    pub verification: Transport,
    /// The way to its health service, unless it is in this process and has none.
    pub verification_health: Option<Transport>,
    /// The way to vault.
    pub vault: Transport,
    /// The apps that Keystile ships; those of teams come from vault.
    pub catalog: Catalog,
}

/// The gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidSetting),
    /// The OpenAPI document cannot be written.
    #[error("the OpenAPI document cannot be written")]
    Document(#[source] serde_json::Error),
}

/// The gateway. Clones share everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    config: Config,
    clock: Arc<dyn Clock>,
    apps: Apps,
    enforcer: Arc<Enforcer>,
    vault: ActionServiceClient<Transport>,
    connects: ConnectServiceClient<Transport>,
    site: Site,
    document: Bytes,
}

/// Builds the gateway. Nothing is called yet.
///
/// # Errors
/// [`Error`] says what is wrong with the configuration.
pub fn build(config: Config, deps: Deps) -> Result<Service, Error> {
    config.validate()?;
    let (_, document) = described(config.public_url.as_deref());
    let document = serde_json::to_vec(&document).map_err(Error::Document)?;
    let apps = Apps::new(deps.catalog, deps.vault.clone(), Arc::clone(&deps.clock));
    let enforcer = Enforcer::new(
        deps.verification,
        deps.verification_health,
        apps.clone(),
        Arc::clone(&deps.clock),
    );
    let connects = ConnectServiceClient::new(deps.vault.clone());
    let vault = ActionServiceClient::new(deps.vault).max_decoding_message_size(MAX_ANSWER_BYTES);
    Ok(Service(Arc::new(Inner {
        site: Site::of(&config),
        config,
        clock: deps.clock,
        apps,
        enforcer: Arc::new(enforcer),
        vault,
        connects,
        document: document.into(),
    })))
}

/// Every route with its description. There is no other place where a route is added.
fn described(public_url: Option<&str>) -> (Router<Service>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::base(public_url))
        .routes(routes!(me::me))
        .routes(routes!(discover::apps))
        .routes(routes!(discover::list))
        .routes(routes!(discover::details))
        .routes(routes!(run::run))
        .routes(routes!(connect::open, connect::begin))
        .routes(routes!(connect::complete))
        .routes(routes!(openapi::openapi))
        .routes(routes!(docs::docs))
        .routes(routes!(docs::page))
        .routes(routes!(docs::file))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .split_for_parts()
}

impl Service {
    /// The routes inside the layers of the edge. Serve them with [`Service::limits`].
    pub fn router(&self) -> Router {
        let (router, _) = described(None);
        let hardened = harden(router.with_state(self.clone()), &self.limits());
        hardened.layer(from_fn(options)).layer(from_fn(connect::pages))
    }

    /// What one request and one connection may take.
    #[must_use]
    pub fn limits(&self) -> keystile_runtime::http::Limits {
        keystile_runtime::http::Limits {
            body_bytes: self.0.config.limits.body_bytes,
            request_timeout: self.0.config.request_timeout() + BACKSTOP,
            ..keystile_runtime::http::Limits::default()
        }
    }

    /// Can requests be served? Only if verification can do its work. Vault is not asked: without it a key
    /// can still be shown and components discovered, and a run says what is missing.
    ///
    /// # Errors
    /// What is missing.
    pub async fn ready(&self) -> Result<(), String> {
        let deadline = Deadline::new(Arc::clone(&self.0.clock), READY_TIMEOUT);
        let answer = self.0.enforcer.ready(&deadline).await;
        answer.map_err(|_| "verification does not answer, or is not ready".to_owned())
    }

    fn enforcer(&self) -> &Arc<Enforcer> {
        &self.0.enforcer
    }

    fn apps(&self) -> &Apps {
        &self.0.apps
    }

    fn vault(&self) -> &ActionServiceClient<Transport> {
        &self.0.vault
    }

    fn connects(&self) -> &ConnectServiceClient<Transport> {
        &self.0.connects
    }

    fn site(&self) -> &Site {
        &self.0.site
    }

    fn now(&self) -> OffsetDateTime {
        self.0.clock.now()
    }

    fn document(&self) -> Bytes {
        self.0.document.clone()
    }

    fn deadline(&self) -> Deadline {
        Deadline::new(Arc::clone(&self.0.clock), self.0.config.request_timeout())
    }

    fn client_ip(&self, parts: &Parts) -> Option<IpAddr> {
        client_ip(&parts.extensions, &parts.headers, &self.0.config.trusted_proxies)
    }
}

/// `OPTIONS` asks what a path takes: that is an answer, not an error. Pages of other origins get
/// nothing by it, since no `Access-Control` header is sent.
async fn options(request: Request, next: Next) -> Response {
    let asked = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    if !asked || response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    *answer.headers_mut() = headers;
    answer
}
