//! A gateway on a real socket, between doubles of verification and vault that remember what they
//! were asked.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use keystile_catalog::Catalog;
use keystile_contract::{
    Identity, SealKeys,
    capability::{self, Capability},
    convert::{from_position, grant, position, refusal},
    proto::{
        common::v1 as common,
        vault::v1::{
            RunActionRequest, RunActionResponse,
            action_service_server::{ActionService, ActionServiceServer},
            app_service_server::AppServiceServer,
            connect_service_server::ConnectServiceServer,
        },
        verification::v1::{
            Allowed, Refused, VerifyRequest, VerifyResponse, VerifyStreamRequest,
            VerifyStreamResponse,
            verification_service_server::{VerificationService, VerificationServiceServer},
            verify_response::Verdict,
        },
    },
    transport,
};
use keystile_domain::{
    ConnectionId, Environment, Grant, KeyId, Position, Refusal, Role, TeamId, limits::Limits,
    log::History,
};
use keystile_gateway::{Config, Deps, Service};
use keystile_runtime::{Drain, http::serve};
use keystile_testkit::{AppsDouble, MockClock};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::{Request, Response, Status, metadata::MetadataMap, service::Routes};

use crate::connects::Connects;

/// A token that the double of verification takes for a key with [`GRANTED`].
pub(crate) const TOKEN: &str = "ks_dev_canaryCanaryCanaryCanary";
/// What that key was granted. The last one is not in the catalog.
pub(crate) const GRANTED: [&str; 4] = [
    "action.sandbox.create-note",
    "action.sandbox.echo",
    "action.sandbox.list-notes",
    "action.sandbox.was-removed",
];
/// A component that exists and that the key was not granted.
pub(crate) const NOT_GRANTED: &str = "action.sandbox.who-am-i";
pub(crate) const ECHO: &str = "/api/v1/components/action.sandbox.echo/run";

const SEALING_KEYS: [(u32, [u8; 32]); 1] = [(1, [5; 32])];
pub(crate) const NOW: time::OffsetDateTime = time::macros::datetime!(2026-01-01 12:00 UTC);

pub(crate) fn at(seq: u64) -> Position {
    Position { history: History { database: [9; 16], timeline: 0 }, seq }
}

fn uuid(text: &str) -> uuid::Uuid {
    text.parse().expect("a uuid")
}

fn the_grant() -> Grant {
    let components = GRANTED.iter().map(|id| id.parse().expect("an id")).collect();
    let connection = ConnectionId::from_uuid(uuid("00000000-0000-7000-8000-000000000003"));
    Grant::new("sandbox".parse().expect("a key"), Some(connection), None, components)
        .expect("a grant")
}

/// A verification that refuses so.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a call may fail")]
pub(crate) fn refuse(reason: Refusal) -> Result<VerifyResponse, Status> {
    let proven = reason != Refusal::Invalid;
    let held: Vec<String> = GRANTED.iter().map(ToString::to_string).collect();
    let limited = matches!(reason, Refusal::RateLimited | Refusal::QuotaExceeded);
    let retry_at = NOW + Duration::from_millis(41_500);
    let refused = Refused {
        reason: refusal(reason).into(),
        held_components: if proven { held } else { Vec::new() },
        retry_at: limited.then(|| keystile_contract::convert::timestamp(retry_at)),
        ..Refused::default()
    };
    Ok(VerifyResponse { verdict: Some(Verdict::Refused(refused)), as_of: None })
}

/// What a verification that knows one key answers.
pub(crate) fn decide(question: &VerifyRequest) -> Result<VerifyResponse, Status> {
    if question.token != TOKEN {
        return refuse(Refusal::Invalid);
    }
    if !question.component.is_empty() && !GRANTED.contains(&question.component.as_str()) {
        return refuse(Refusal::ComponentNotAllowed);
    }
    let key = KeyId::from_uuid(uuid("00000000-0000-7000-8000-000000000001"));
    let team = TeamId::from_uuid(uuid("00000000-0000-7000-8000-000000000002"));
    let as_of = question.at_least.as_ref().map_or(at(1), |needed| {
        from_position("at_least", needed).expect("the gateway passes positions on whole")
    });
    let sealed = (question.capability_audience == "vault").then(|| {
        let capability = Capability {
            team,
            key,
            component: question.component.parse().expect("the gateway asks about real ids"),
            connection: the_grant().connection(),
            integration: None,
            as_of,
        };
        let keys = SealKeys::derive(Role::Verification, &SEALING_KEYS);
        capability.seal(Role::Vault, &keys, NOW).expect("verification seals for vault")
    });
    let limits = Limits { requests_per_minute: Some(60), requests_per_month: None };
    let allowed = Allowed {
        key_id: key.to_string(),
        team_id: team.to_string(),
        name: "nightly report".into(),
        environment: keystile_contract::convert::environment(Environment::Dev).into(),
        expires_at: Some(keystile_contract::convert::timestamp(NOW + Duration::from_hours(1))),
        grants: vec![grant(&the_grant())],
        limits: Some(keystile_contract::convert::limits(limits)),
        remaining: Some(common::Limits { requests_per_minute: Some(0), requests_per_month: None }),
        capability: sealed,
    };
    Ok(VerifyResponse { verdict: Some(Verdict::Allowed(allowed)), as_of: Some(position(&as_of)) })
}

type Decide = Box<dyn Fn(&VerifyRequest) -> Result<VerifyResponse, Status> + Send + Sync>;
type Act = Box<dyn Fn(&Ran) -> Result<RunActionResponse, Status> + Send + Sync>;

/// One call of verification.
pub(crate) struct Asked {
    pub(crate) question: VerifyRequest,
    pub(crate) metadata: MetadataMap,
}

/// One call of vault.
#[derive(Clone)]
pub(crate) struct Ran {
    pub(crate) component: String,
    pub(crate) inputs: Value,
    pub(crate) capability: Capability,
    pub(crate) idempotency_key: String,
    pub(crate) metadata: MetadataMap,
}

struct Doubles {
    decide: Mutex<Decide>,
    asked: Mutex<Vec<Asked>>,
    act: Mutex<Act>,
    ran: Mutex<Vec<Ran>>,
    /// Vault never answers.
    stuck: Mutex<bool>,
}

#[derive(Clone)]
struct Double(Arc<Doubles>);

#[tonic::async_trait]
impl VerificationService for Double {
    async fn verify(
        &self,
        request: Request<VerifyRequest>,
    ) -> Result<Response<VerifyResponse>, Status> {
        let (metadata, _, question) = request.into_parts();
        let answer = self.0.decide.lock().unwrap()(&question);
        self.0.asked.lock().unwrap().push(Asked { question, metadata });
        answer.map(Response::new)
    }

    type VerifyStreamStream = tonic::codegen::BoxStream<VerifyStreamResponse>;

    async fn verify_stream(
        &self,
        _: Request<tonic::Streaming<VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        Err(Status::unimplemented("the gateway does not stream"))
    }
}

#[tonic::async_trait]
impl ActionService for Double {
    async fn run_action(
        &self,
        request: Request<RunActionRequest>,
    ) -> Result<Response<RunActionResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let keys = SealKeys::derive(Role::Vault, &SEALING_KEYS);
        let ran = Ran {
            component: asked.component,
            inputs: serde_json::from_slice(&asked.inputs_json).expect("inputs are JSON"),
            capability: capability::of_request(&metadata, &keys, NOW)?,
            idempotency_key: asked.idempotency_key,
            metadata,
        };
        self.0.ran.lock().unwrap().push(ran.clone());
        if *self.0.stuck.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let answer = self.0.act.lock().unwrap()(&ran);
        answer.map(Response::new)
    }
}

/// An answer of an app, as vault gives it.
#[expect(clippy::unnecessary_wraps, reason = "it stands where a call may fail")]
pub(crate) fn app(status: u32, outputs: &str) -> Result<RunActionResponse, Status> {
    Ok(RunActionResponse { status, outputs_json: outputs.into(), ..RunActionResponse::default() })
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(held, _)| held == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"));
        let challenged = self.header("www-authenticate");
        assert_eq!(challenged.is_some_and(|text| text.starts_with("Bearer ")), self.status == 401);
        problem["code"].as_str().expect("a code").to_owned()
    }
}

/// The gateway and its surroundings.
pub(crate) struct World {
    pub(crate) service: Service,
    /// The OpenAPI document, as it is served.
    pub(crate) document: Value,
    /// Vault's connect flows.
    pub(crate) connects: Connects,
    /// The apps that the key's team added.
    pub(crate) apps: AppsDouble,
    pub(crate) clock: MockClock,
    address: SocketAddr,
    doubles: Double,
    drain: Drain,
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.begin();
    }
}

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let doubles = Double(Arc::new(Doubles {
            decide: Mutex::new(Box::new(decide)),
            asked: Mutex::default(),
            act: Mutex::new(Box::new(|ran| app(200, &ran.inputs.to_string()))),
            ran: Mutex::default(),
            stuck: Mutex::default(),
        }));
        let connects = Connects::default();
        let apps = AppsDouble::default();
        let clock = MockClock::default();
        let identity = Identity::Role(Role::Gateway);
        let deps = Deps {
            clock: Arc::new(clock.clone()),
            verification_health: None,
            verification: transport::local(
                VerificationServiceServer::new(doubles.clone()),
                identity.clone(),
            ),
            vault: transport::local(
                Routes::new(ActionServiceServer::new(doubles.clone()))
                    .add_service(ConnectServiceServer::new(connects.clone()))
                    .add_service(AppServiceServer::new(apps.clone())),
                identity,
            ),
            catalog: Catalog::shipped().with_sandbox(&"http://127.0.0.1:9".parse().expect("a URL")),
        };
        let service = keystile_gateway::build(config, deps).expect("built");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let drain = Drain::new();
        tokio::spawn(serve(listener, service.router(), drain.clone(), service.limits()));
        let document = Value::Null;
        let mut world = Self { service, document, connects, apps, clock, address, doubles, drain };
        let document = b"GET /openapi.json HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
        world.document = world.raw(document).await.json();
        world
    }

    /// From now on verification answers so.
    pub(crate) fn decide(
        &self,
        decide: impl Fn(&VerifyRequest) -> Result<VerifyResponse, Status> + Send + Sync + 'static,
    ) {
        *self.doubles.0.decide.lock().unwrap() = Box::new(decide);
    }

    /// From now on vault answers so.
    pub(crate) fn act(
        &self,
        act: impl Fn(&Ran) -> Result<RunActionResponse, Status> + Send + Sync + 'static,
    ) {
        *self.doubles.0.act.lock().unwrap() = Box::new(act);
    }

    /// From now on vault never answers.
    pub(crate) fn stick(&self) {
        *self.doubles.0.stuck.lock().unwrap() = true;
    }

    /// What verification was asked since this was asked last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.doubles.0.asked.lock().unwrap())
    }

    /// What vault was told to run since this was asked last.
    pub(crate) fn ran(&self) -> Vec<Ran> {
        std::mem::take(&mut *self.doubles.0.ran.lock().unwrap())
    }

    /// Sends these bytes and reads all that comes back. The token never does.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        // The gateway may have answered and closed before all was sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains(TOKEN), "the token came back: {text}");
        parse(&answer)
    }

    /// Sends a request with exactly these headers besides `Host` and `Connection: close`.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n");
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").expect("written");
        }
        if !body.is_empty() {
            write!(text, "content-length: {}\r\n", body.len()).expect("written");
        }
        let answer = self.raw(format!("{text}\r\n{body}").as_bytes()).await;
        self.is_described(method, path, &answer);
        answer
    }

    /// Whatever a described route answers, its description lists.
    fn is_described(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.document["paths"].as_object().expect("paths");
        let Some((_, item)) = paths.iter().find(|(pattern, _)| fits(pattern, path)) else { return };
        let Some(operation) = item.get(method.to_lowercase()) else { return };
        let status = answer.status.to_string();
        let response = operation["responses"].get(&status);
        let response = response.unwrap_or_else(|| panic!("{method} {path}: {status} is not there"));
        if answer.header("content-type") == Some("application/problem+json") {
            let listed = format!("`{}`", answer.code());
            let description = response["description"].as_str().expect("a description");
            assert!(description.contains(&listed), "{method} {path} {status}: no {listed}");
        }
    }

    /// A GET with the key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("authorization", &format!("Bearer {TOKEN}"))], "").await
    }

    /// A POST of JSON with the key.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        self.send("POST", path, &headers, body).await
    }

    /// Runs echo.
    pub(crate) async fn echo(&self) -> Answer {
        self.post(ECHO, r#"{"inputs":{"message":"hello"}}"#).await
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.parse().expect("a status"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// Does `path` have the form of `pattern`?
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(want, got)| {
            want == got || (want.starts_with('{') && want.ends_with('}') && !got.is_empty())
        })
}
