//! One issuance with a vault that says what a test tells it, and people who call.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use keystile_contract::{
    Failure, Identity, SealKeys, Transport, actor,
    proto::{
        common::v1::{Environment, Grant, Outcome},
        issuance::v1::{
            CreateKeyRequest, CreateTeamRequest, Key, fact_service_client::FactServiceClient,
            key_service_client::KeyServiceClient, log_service_client::LogServiceClient,
            team_service_client::TeamServiceClient,
        },
        vault::v1::{
            BatchGetConnectionsRequest, BatchGetConnectionsResponse, CheckGrantRequest,
            CheckGrantResponse, CreateConnectionRequest, CreateConnectionResponse,
            DeleteConnectionRequest, DeleteConnectionResponse, GetConnectionRequest,
            GetConnectionResponse, GrantProblem, ListAuditRequest, ListAuditResponse,
            ListConnectionsRequest, ListConnectionsResponse, MatchConnectionsRequest,
            MatchConnectionsResponse, TestConnectionRequest, TestConnectionResponse,
            connection_service_server::{ConnectionService, ConnectionServiceServer},
        },
    },
    transport::local,
};
use keystile_domain::{
    Actor, Clock, MemberRole, OperationId, Role, TeamId, Tick, UserId,
    log::{History, Nonce},
    permission::Principal,
    token::TokenKeyRing,
};
use keystile_issuance::{
    Config, Deps, Service, build,
    store::{Store, memory::MemoryStore, sql},
};
use keystile_sql::{Database, Pool};
use keystile_testkit::{MockClock, SeededEntropy};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

pub(crate) const SEALING: [(u32, [u8; 32]); 1] = [(1, [5; 32])];
pub(crate) const HISTORY: History = History { database: [9; 16], timeline: 0 };

/// Wall time that a test moves, boot time of tokio: paused tests decide how fast that runs.
#[derive(Clone)]
pub(crate) struct TestClock {
    pub(crate) wall: MockClock,
    start: tokio::time::Instant,
}

impl TestClock {
    fn new() -> Self {
        // The tests' own timers and the barrier's must agree on time.
        #[expect(clippy::disallowed_methods, reason = "this is the clock of the tests")]
        let start = tokio::time::Instant::now();
        Self { wall: MockClock::default(), start }
    }
}

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        self.wall.now()
    }

    fn tick(&self) -> Tick {
        Tick::from_boot(self.start.elapsed())
    }
}

/// A vault whose answer to `CheckGrant` is what a test says.
#[derive(Clone, Default)]
pub(crate) struct FakeVault(pub(crate) Arc<Mutex<CheckGrantResponse>>);

impl FakeVault {
    pub(crate) fn answer(&self, problems: &[(&str, &str)], integration: &str) {
        let problems = problems.iter().map(|(component, code)| GrantProblem {
            component: (*component).to_owned(),
            code: (*code).to_owned(),
            detail: format!("the problem is {code}"),
        });
        *self.0.lock().expect("not poisoned") = CheckGrantResponse {
            problems: problems.collect(),
            integration_id: integration.to_owned(),
        };
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn no<T>() -> Answer<T> {
    Err(Status::unimplemented("not in these tests"))
}

#[tonic::async_trait]
impl ConnectionService for FakeVault {
    async fn create_connection(
        &self,
        _: Request<CreateConnectionRequest>,
    ) -> Answer<CreateConnectionResponse> {
        no()
    }
    async fn list_connections(
        &self,
        _: Request<ListConnectionsRequest>,
    ) -> Answer<ListConnectionsResponse> {
        no()
    }
    async fn get_connection(
        &self,
        _: Request<GetConnectionRequest>,
    ) -> Answer<GetConnectionResponse> {
        no()
    }
    async fn test_connection(
        &self,
        _: Request<TestConnectionRequest>,
    ) -> Answer<TestConnectionResponse> {
        no()
    }
    async fn delete_connection(
        &self,
        _: Request<DeleteConnectionRequest>,
    ) -> Answer<DeleteConnectionResponse> {
        no()
    }
    async fn batch_get_connections(
        &self,
        _: Request<BatchGetConnectionsRequest>,
    ) -> Answer<BatchGetConnectionsResponse> {
        no()
    }
    async fn match_connections(
        &self,
        _: Request<MatchConnectionsRequest>,
    ) -> Answer<MatchConnectionsResponse> {
        no()
    }
    async fn check_grant(&self, _: Request<CheckGrantRequest>) -> Answer<CheckGrantResponse> {
        Ok(Response::new(self.0.lock().expect("not poisoned").clone()))
    }
    async fn list_audit(&self, _: Request<ListAuditRequest>) -> Answer<ListAuditResponse> {
        no()
    }
}

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) clock: TestClock,
    pub(crate) vault: FakeVault,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) folder: Option<tempfile::TempDir>,
    console: SealKeys,
    entropy: SeededEntropy,
}

/// Who calls: one person in one team, or the operator.
#[derive(Clone)]
pub(crate) struct Person(pub(crate) Actor);

pub(crate) fn ring() -> TokenKeyRing {
    TokenKeyRing::new([(1, [7; 32]), (2, [8; 32])]).expect("valid")
}

pub(crate) async fn sqlite() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/issuance.db", folder.path().display());
    (folder, migrated(url).await)
}

/// A database whose schema is up to date.
pub(crate) async fn migrated(url: String) -> Database {
    let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
    sql::migrate(&database).await.expect("migrates");
    database
}

impl World {
    /// On the memory store.
    pub(crate) async fn memory() -> Self {
        let memory = MemoryStore::new(HISTORY, Nonce([0; 16]));
        Self::over(Arc::new(memory), ring()).await
    }

    /// On SQLite in a file of its own.
    pub(crate) async fn sqlite() -> Self {
        let (folder, database) = sqlite().await;
        let store = sql::SqlStore::open(database, &SeededEntropy::new(77)).await;
        let world = Self::over(Arc::new(store.expect("opens")), ring()).await;
        Self { folder: Some(folder), ..world }
    }

    pub(crate) async fn over(store: Arc<dyn Store>, token_keys: TokenKeyRing) -> Self {
        Self::with(store, token_keys, Config::default()).await
    }

    pub(crate) async fn with(
        store: Arc<dyn Store>,
        token_keys: TokenKeyRing,
        config: Config,
    ) -> Self {
        let clock = TestClock::new();
        let vault = FakeVault::default();
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(1)),
            seal_keys: SealKeys::derive(Role::Issuance, &SEALING),
            token_keys,
            vault: local(
                ConnectionServiceServer::new(vault.clone()),
                Identity::Role(Role::Issuance),
            ),
            store: Arc::clone(&store),
        };
        Self {
            service: build(config, deps).await.expect("builds"),
            clock,
            vault,
            store,
            folder: None,
            console: SealKeys::derive(Role::Console, &SEALING),
            entropy: SeededEntropy::new(1_000),
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        local(self.service.grpc().prepare(), Identity::Role(Role::Console))
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Transport> {
        KeyServiceClient::new(self.transport())
    }

    pub(crate) fn teams(&self) -> TeamServiceClient<Transport> {
        TeamServiceClient::new(self.transport())
    }

    pub(crate) fn facts(&self) -> FactServiceClient<Transport> {
        FactServiceClient::new(self.transport())
    }

    pub(crate) fn log(&self) -> LogServiceClient<Transport> {
        self.log_as(Identity::Role(Role::Verification))
    }

    pub(crate) fn log_as(&self, identity: Identity) -> LogServiceClient<Transport> {
        LogServiceClient::new(local(self.service.grpc().prepare(), identity))
    }

    pub(crate) fn operation(&self) -> String {
        OperationId::generate(self.clock.now(), &self.entropy).to_string()
    }

    pub(crate) fn entropy(&self) -> &SeededEntropy {
        &self.entropy
    }

    /// `message` with the sealed actor of `person`.
    pub(crate) fn by<T>(&self, person: &Person, message: T) -> Request<T> {
        let mut request = Request::new(message);
        actor::attach(
            request.metadata_mut(),
            &person.0,
            Role::Issuance,
            &self.console,
            self.clock.now(),
        )
        .expect("sealed");
        request
    }

    pub(crate) fn operator() -> Person {
        Person(Actor {
            principal: Principal::Operator,
            label: "operator".into(),
            team: None,
            permissions: std::collections::BTreeSet::default(),
            request_id: "req-op".into(),
            source_ip: None,
        })
    }

    pub(crate) fn member(&self, team: TeamId, role: MemberRole) -> Person {
        let user = UserId::generate(self.clock.now(), &self.entropy);
        Person(Actor {
            principal: Principal::User(user),
            label: format!("{}@example.com", role.as_str()),
            team: Some(team),
            permissions: role.permissions(),
            request_id: "req-1".into(),
            source_ip: Some("192.0.2.7".parse().expect("an address")),
        })
    }

    /// A new team, and its owner.
    pub(crate) async fn team(&self) -> Person {
        let id = TeamId::generate(self.clock.now(), &self.entropy);
        let request = CreateTeamRequest { team_id: id.to_string(), name: "Ada's team".into() };
        let created = self.teams().create_team(self.by(&Self::operator(), request)).await;
        created.expect("created");
        self.member(id, MemberRole::Owner)
    }

    /// A new key of `person`'s team, and its token.
    pub(crate) async fn key(&self, person: &Person) -> (Key, String) {
        let request = self.by(person, new_key("a key"));
        let created = self.keys().create_key(request).await.expect("created").into_inner();
        (created.key.expect("a key"), created.token)
    }

    /// What a failed call says.
    pub(crate) fn refused<T>(result: Result<Response<T>, Status>) -> Failure {
        match result {
            Ok(_) => panic!("was not refused"),
            Err(status) => Failure::from(status),
        }
    }
}

pub(crate) fn grant(app: &str, components: &[&str]) -> Grant {
    Grant {
        app_key: app.to_owned(),
        allowed_components: components.iter().map(|name| format!("action.{app}.{name}")).collect(),
        ..Grant::default()
    }
}

pub(crate) fn new_key(name: &str) -> CreateKeyRequest {
    CreateKeyRequest {
        name: name.to_owned(),
        environment: Environment::Dev.into(),
        grants: vec![grant("sandbox", &["echo", "list-items"])],
        ..CreateKeyRequest::default()
    }
}

/// The receipt of a cut that is over.
pub(crate) fn receipt(outcome: Option<Outcome>) -> keystile_contract::proto::common::v1::Receipt {
    let outcome = outcome.expect("an outcome");
    assert!(!outcome.pending, "pending");
    outcome.receipt.expect("a receipt")
}

/// A short while on tokio's clock.
pub(crate) const MOMENT: Duration = Duration::from_millis(50);
