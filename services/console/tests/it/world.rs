//! A console with its doubles, and a client of its API.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use keystile_catalog::Catalog;
use keystile_console::{Bootstrap, Config, Deps, Service, build, store::sql::SqlStore};
use keystile_contract::{
    Identity, SealKeys,
    proto::{
        issuance::v1::{
            key_service_server::KeyServiceServer, team_service_server::TeamServiceServer,
        },
        vault::v1::{
            app_service_server::AppServiceServer, connect_service_server::ConnectServiceServer,
            connection_service_server::ConnectionServiceServer,
            integration_service_server::IntegrationServiceServer,
        },
    },
    transport,
};
use keystile_domain::Role;
use keystile_sql::{Database, Pool};
use keystile_testkit::{AppsDouble, MockClock, SeededEntropy};
use secrecy::ExposeSecret;
use serde_json::Value;
use tonic::service::Routes;
use tower::ServiceExt as _;

use crate::{issuance::Issuance, vault::Vault};

pub(crate) const OPERATOR: &str = "kso_the_operators_own_token_of_this_test";

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: MockClock,
    pub(crate) issuance: Issuance,
    pub(crate) vault: Vault,
    pub(crate) store: SqlStore,
    pub(crate) service: Service,
    router: Router,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = MockClock::default();
        let sealing = [(1, [7; 32])];
        let issuance = Issuance::new(SealKeys::derive(Role::Issuance, &sealing), clock.clone());
        let vault = Vault::new(SealKeys::derive(Role::Vault, &sealing), clock.clone());
        let url = format!("sqlite://{}/console.db", folder.path().display());
        let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
        let mut routes = Routes::builder();
        routes.add_service(KeyServiceServer::new(issuance.clone()));
        routes.add_service(TeamServiceServer::new(issuance.clone()));
        let mut vaults = Routes::builder();
        vaults.add_service(ConnectionServiceServer::new(vault.clone()));
        vaults.add_service(IntegrationServiceServer::new(vault.clone()));
        vaults.add_service(ConnectServiceServer::new(vault.clone()));
        vaults.add_service(AppServiceServer::new(AppsDouble::default()));
        let console = Identity::Role(Role::Console);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(1)),
            seal_keys: SealKeys::derive(Role::Console, &sealing),
            issuance: transport::local(routes.routes(), console.clone()),
            vault: transport::local(vaults.routes(), console),
            catalog: Catalog::shipped(),
            database: database.clone(),
            operator_token: OPERATOR.into(),
        };
        let service = build(Config::default(), deps).await.expect("builds");
        let (router, store) = (service.router(), SqlStore::new(database));
        Self { folder, clock, issuance, vault, store, service, router }
    }

    /// A team with an owner; and the owner's token.
    pub(crate) async fn team(&self, email: &str) -> (Bootstrap, String) {
        let made = self.service.bootstrap(email, "Acme").await.expect("bootstraps");
        let token = made.token.expose_secret().to_owned();
        (made, token)
    }

    /// A token of `role`, made by the holder of `owner`.
    pub(crate) async fn token(&self, owner: &str, role: &str) -> String {
        let body = serde_json::json!({ "name": role, "role": role });
        let made = self.post(owner, "/api/manage/v1/tokens", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.body["token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], None).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        self.send(Method::POST, path, &headers, Some(body)).await
    }

    /// A request without a body.
    pub(crate) async fn act(&self, token: &str, method: Method, path: &str) -> Answer {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        self.send(method, path, &headers, None).await
    }

    pub(crate) async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        self.send(Method::PATCH, path, &headers, Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answers");
        let status = response.status();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let bytes = to_bytes(response.into_body(), 10 << 20).await.expect("reads");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, body, text }
    }
}

/// The body that the design documents for a new key.
pub(crate) fn new_key(environment: &str) -> Value {
    serde_json::json!({
        "name": "ci",
        "environment": environment,
        "connections": [{ "appKey": "slack", "allowedComponents": ["action.slack.post-message"] }],
    })
}

/// A client for an app that is connected to with OAuth.
pub(crate) fn new_integration() -> Value {
    serde_json::json!({
        "appKey": "slack",
        "name": "Our client",
        "clientId": "client-1",
        "clientSecret": "s3cret",
    })
}
