//! One vault and everything around it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use keystile_catalog::{App, Catalog};
use keystile_contract::{
    Failure, Identity, SealKeys, Transport, actor,
    capability::{self, Capability},
    proto::vault::v1::{
        self as proto, CreateConnectionRequest, RunActionRequest, RunActionResponse,
        StaticCredential, action_service_client::ActionServiceClient,
        app_service_client::AppServiceClient, connect_service_client::ConnectServiceClient,
        connection_service_client::ConnectionServiceClient,
        integration_service_client::IntegrationServiceClient, static_credential::Kind,
    },
    transport,
};
use keystile_domain::{
    Actor, Clock, ConnectionId, Entropy, KeyId, MemberRole, Position, Role, TeamId, UserId,
    permission::Principal,
};
use keystile_egress::{Allow, Policy, SystemResolver};
use keystile_seal::{KekRing, KeyBytes};
use keystile_sql::{Database, Pool};
use keystile_testkit::{MockClock, Provider, SeededEntropy, Upstream, eventually};
use keystile_vault::{Config, Deps, Error, Service};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use uuid::Uuid;

use crate::issuance::Issuance;

/// What must be seen nowhere but at the app.
pub(crate) const CANARY: &str = "canary-7f3a91c2d4e85b60";

const SEALING_KEYS: [(u32, [u8; 32]); 1] = [(1, [7; 32])];

fn document(address: SocketAddr, schemes: &str) -> String {
    format!(
        r#"
openapi: 3.1.0
info: {{ title: Upstream, version: "1" }}
servers: [{{ url: "http://{address}" }}]
paths:
  /echo:
    get:
      operationId: readEcho
      responses: {{ "200": {{ description: ok }} }}
    post:
      operationId: writeEcho
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [title]
              additionalProperties: false
              properties: {{ title: {{ type: string, maxLength: 10 }} }}
      responses: {{ "200": {{ description: ok }} }}
  /status/{{code}}:
    get:
      operationId: status
      parameters:
        - {{ name: code, in: path, required: true, schema: {{ type: integer }} }}
      responses: {{ "200": {{ description: ok }} }}
  /bytes/{{count}}:
    get:
      operationId: bytes
      parameters:
        - {{ name: count, in: path, required: true, schema: {{ type: integer }} }}
      responses: {{ "200": {{ description: ok }} }}
  /text:
    get:
      operationId: text
      parameters:
        - {{ name: q, in: query, required: true, schema: {{ type: string }} }}
      responses: {{ "200": {{ description: ok }} }}
  /never:
    get:
      operationId: never
      parameters:
        - {{ name: q, in: query, required: true, schema: {{ type: string }} }}
      responses: {{ "200": {{ description: ok }} }}
{schemes}"#
    )
}

fn schemes(scheme: &str) -> String {
    format!("security: [{{ auth: [] }}]\ncomponents: {{ securitySchemes: {{ auth: {scheme} }} }}\n")
}

fn app(key: &str, text: &str) -> App {
    let (app, report) = App::parse(key.parse().expect("an app key"), text).expect("a document");
    assert!(report.is_empty(), "{report:?}");
    app
}

/// The same outside app, once for each way to sign in; `refuses` answers every read with 401. And
/// `provider`, which is connected with OAuth.
fn catalog(address: SocketAddr, provider: &Provider) -> Catalog {
    let with = |key, scheme| app(key, &document(address, &schemes(scheme)));
    let refusing = document(address, &schemes("{ type: http, scheme: bearer }")).replacen(
        "/echo:",
        "/status/401:",
        1,
    );
    let limits = "x-keystile-limits: { concurrency: 1, requests: 3, per: 3600 }\n";
    let limited = document(address, &schemes("{ type: http, scheme: bearer }")) + limits;
    let closed: SocketAddr = "127.0.0.1:1".parse().expect("an address");
    Catalog::of([
        with("bearer", "{ type: http, scheme: bearer }"),
        with("basic", "{ type: http, scheme: basic }"),
        with("header", "{ type: apiKey, in: header, name: X-Key }"),
        with("query", "{ type: apiKey, in: query, name: key }"),
        app("open", &document(address, "")),
        app("refuses", &refusing),
        app("provider", &provider.document()),
        app("limited", &limited),
        app("inside", &document(closed, &schemes("{ type: http, scheme: bearer }"))),
    ])
}

pub(crate) fn kek(version: u32) -> (u32, KeyBytes) {
    let bytes = version.to_be_bytes()[3];
    (version, KeyBytes::init_with(|| [bytes; 32]))
}

pub(crate) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn team(number: u128) -> TeamId {
    TeamId::from_uuid(uuid(number))
}

/// What outlives a restart of vault.
pub(crate) struct World {
    pub(crate) clock: MockClock,
    pub(crate) upstream: Upstream,
    pub(crate) provider: Provider,
    pub(crate) issuance: Issuance,
    pub(crate) largest_answer_bytes: usize,
    /// The versions in the file of key-encryption keys.
    pub(crate) keks: Arc<Mutex<Vec<u32>>>,
    pub(crate) entropy: Arc<SeededEntropy>,
    folder: TempDir,
}

/// One run of vault.
pub(crate) struct Vault {
    pub(crate) service: Service,
    transport: Transport,
    clock: MockClock,
    issuance: Issuance,
    background: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = MockClock::default();
        Self {
            issuance: Issuance::new(clock.clone()),
            clock,
            upstream: Upstream::start().await,
            provider: Provider::start().await,
            largest_answer_bytes: 4096,
            keks: Arc::default(),
            entropy: Arc::new(SeededEntropy::new(1)),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("vault.db")
    }

    pub(crate) async fn database(&self) -> Database {
        let url = format!("sqlite://{}", self.file().display());
        Database::connect(&url.into(), Pool::default()).await.expect("connects")
    }

    /// The key-encryption keys as their file has them, now and at each look.
    pub(crate) fn ring(&self) -> KekRing {
        let keks = Arc::clone(&self.keks);
        let read = move || {
            let versions = keks.lock().expect("nobody panicked").clone();
            Ok(versions.into_iter().map(kek).collect())
        };
        KekRing::read_from(Box::new(read), self.entropy.clone()).expect("a ring")
    }

    /// Builds vault with these key-encryption keys.
    pub(crate) async fn build(&self, keks: &[u32]) -> Result<Service, Error> {
        self.build_on(Arc::new(self.clock.clone()), keks).await
    }

    async fn build_on(&self, clock: Arc<dyn Clock>, keks: &[u32]) -> Result<Service, Error> {
        *self.keks.lock().expect("nobody panicked") = keks.to_vec();
        let entropy: Arc<dyn Entropy> = self.entropy.clone();
        let policy = Policy {
            allow: Allow {
                sockets: vec![self.upstream.address(), self.provider.address()],
                ..Allow::default()
            },
            ..Policy::default()
        };
        let resolver = Arc::new(SystemResolver::new());
        let largest_answer_bytes = self.largest_answer_bytes;
        let config = Config { largest_answer_bytes, ..Config::default() };
        let deps = Deps {
            clock,
            entropy: Arc::clone(&entropy),
            seal_keys: SealKeys::derive(Role::Vault, &SEALING_KEYS),
            keks: Arc::new(self.ring()),
            issuance: self.issuance.transport(),
            catalog: catalog(self.upstream.address(), &self.provider),
            egress: keystile_egress::Client::new(policy, resolver).expect("a client"),
            database: self.database().await,
            gateway_url: "https://gateway.example.com".to_owned(),
        };
        keystile_vault::build(config, deps).await
    }

    /// Vault, answering, with nothing in the background: it never gets a lease.
    pub(crate) async fn idle(&self) -> Vault {
        self.idle_on(Arc::new(self.clock.clone())).await
    }

    async fn idle_on(&self, clock: Arc<dyn Clock>) -> Vault {
        let service = self.build_on(clock, &[1]).await.expect("builds");
        let transport = transport::local(service.grpc().prepare(), Identity::Role(Role::Console));
        let (clock, issuance) = (self.clock.clone(), self.issuance.clone());
        Vault { service, transport, clock, issuance, background: None }
    }

    /// Vault at work, with a lease.
    pub(crate) async fn start(&self) -> Vault {
        self.start_on(Arc::new(self.clock.clone())).await
    }

    /// The same, on a clock of the test's own.
    pub(crate) async fn start_on(&self, clock: Arc<dyn Clock>) -> Vault {
        let mut vault = self.idle_on(clock).await;
        let stop = CancellationToken::new();
        let (service, token) = (vault.service.clone(), stop.clone());
        vault.background = Some((stop, tokio::spawn(async move { service.run(token).await })));
        eventually("a lease", async || vault.service.ready().is_ok()).await;
        vault
    }
}

pub(crate) fn person(team: TeamId, role: MemberRole) -> Actor {
    Actor {
        principal: Principal::User(UserId::from_uuid(uuid(1))),
        label: "ada@example.com".to_owned(),
        team: Some(team),
        permissions: role.permissions(),
        request_id: "req-1".to_owned(),
        source_ip: Some("192.0.2.1".parse().expect("an address")),
    }
}

pub(crate) fn bearer(token: &str) -> StaticCredential {
    StaticCredential { kind: Some(Kind::BearerToken(token.to_owned())) }
}

impl Vault {
    /// Ends the background work, as a stop or, for what is stored, a crash does.
    pub(crate) async fn stop(mut self) {
        if let Some((stop, task)) = self.background.take() {
            stop.cancel();
            task.await.expect("ends");
        }
    }

    pub(crate) fn connections(&self) -> ConnectionServiceClient<Transport> {
        ConnectionServiceClient::new(self.transport.clone())
    }

    pub(crate) fn integrations(&self) -> IntegrationServiceClient<Transport> {
        IntegrationServiceClient::new(self.transport.clone())
    }

    pub(crate) fn apps(&self) -> AppServiceClient<Transport> {
        AppServiceClient::new(self.transport.clone())
    }

    pub(crate) fn connects(&self) -> ConnectServiceClient<Transport> {
        ConnectServiceClient::new(self.transport.clone())
    }

    /// A request of a person of that role in that team.
    pub(crate) fn by<T>(&self, team: TeamId, role: MemberRole, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let keys = SealKeys::derive(Role::Console, &SEALING_KEYS);
        let actor = person(team, role);
        actor::attach(request.metadata_mut(), &actor, Role::Vault, &keys, self.clock.now())
            .expect("sealed");
        request
    }

    pub(crate) fn by_owner<T>(&self, message: T) -> Request<T> {
        self.by(team(1), MemberRole::Owner, message)
    }

    /// Links an account of team 1.
    pub(crate) async fn link(
        &self,
        app: &str,
        credential: StaticCredential,
    ) -> Result<ConnectionId, Failure> {
        let request = CreateConnectionRequest {
            app_key: app.to_owned(),
            name: "Ada's account".to_owned(),
            credential: Some(credential),
            server_variables: HashMap::new(),
        };
        let answer = self.connections().create_connection(self.by_owner(request)).await?;
        Ok(answer.into_inner().connection.expect("a connection").id.parse().expect("an id"))
    }

    pub(crate) async fn get(&self, id: ConnectionId) -> Result<proto::Connection, Failure> {
        let request = proto::GetConnectionRequest { connection_id: id.to_string() };
        let answer = self.connections().get_connection(self.by_owner(request)).await?;
        Ok(answer.into_inner().connection.expect("a connection"))
    }

    pub(crate) async fn delete(
        &self,
        id: ConnectionId,
    ) -> Result<proto::DeleteConnectionResponse, Failure> {
        let request = proto::DeleteConnectionRequest { connection_id: id.to_string() };
        Ok(self.connections().delete_connection(self.by_owner(request)).await?.into_inner())
    }

    /// What verification would vouch for, of the log's head.
    pub(crate) fn capability(
        &self,
        component: &str,
        connection: Option<ConnectionId>,
    ) -> Capability {
        Capability {
            team: team(1),
            key: KeyId::from_uuid(uuid(5)),
            component: component.parse().expect("a component"),
            connection,
            integration: None,
            as_of: self.issuance.log.head(),
        }
    }

    /// Runs the capability's component.
    pub(crate) async fn run(
        &self,
        capability: &Capability,
        inputs: Value,
    ) -> Result<(u32, Value), Failure> {
        let request = self.run_request(capability, &inputs);
        self.send(request).await.map(|answer| {
            let outputs = serde_json::from_slice(&answer.outputs_json).expect("JSON");
            (answer.status, outputs)
        })
    }

    /// A request to run the capability's component once for this idempotency key.
    pub(crate) fn named_request(
        &self,
        capability: &Capability,
        inputs: &Value,
        idempotency_key: &str,
    ) -> Request<RunActionRequest> {
        let mut request = self.run_request(capability, inputs);
        idempotency_key.clone_into(&mut request.get_mut().idempotency_key);
        request
    }

    pub(crate) fn run_request(
        &self,
        capability: &Capability,
        inputs: &Value,
    ) -> Request<RunActionRequest> {
        let mut request = Request::new(RunActionRequest {
            component: capability.component.to_string(),
            inputs_json: inputs.to_string().into_bytes(),
            ..RunActionRequest::default()
        });
        let keys = SealKeys::derive(Role::Verification, &SEALING_KEYS);
        let sealed = capability.seal(Role::Vault, &keys, self.clock.now()).expect("sealed");
        capability::attach(request.metadata_mut(), &sealed);
        request
    }

    pub(crate) async fn send(
        &self,
        request: Request<RunActionRequest>,
    ) -> Result<RunActionResponse, Failure> {
        let mut client = ActionServiceClient::new(self.transport.clone());
        Ok(client.run_action(request).await?.into_inner())
    }

    /// Waits until vault has applied the log up to there.
    pub(crate) async fn heard_of(&self, position: Position, capability: &Capability) {
        let current = Capability { as_of: position, ..capability.clone() };
        eventually("the log is applied", async || {
            let stale = self.run(capability, serde_json::json!({})).await;
            stale.is_err_and(|failure| failure.kind == keystile_domain::ErrorKind::Stale)
        })
        .await;
        assert!(self.run(&current, serde_json::json!({})).await.is_ok());
    }
}
