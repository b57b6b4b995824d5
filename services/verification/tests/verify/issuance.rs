//! A double of issuance that a test steers: keys, the log, and how calls are answered.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use futures::{StreamExt, stream::BoxStream};
use keystile_contract::{
    Identity, Transport, convert,
    proto::issuance::v1::{
        self as proto, AuthorizeRequest, AuthorizeResponse, LeaseTerms, LookupRequest,
        LookupResponse, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse,
        SetScopeStatusRequest, SetScopeStatusResponse, WatchRequest, WatchResponse,
        fact_service_server::{FactService, FactServiceServer},
        log_service_server::{LogService, LogServiceServer},
    },
    transport,
};
use keystile_domain::{
    Entropy, Environment, KeyId, OperationId, Position, Role, Scope, SecretId, TeamId,
    facts::{KeyFacts, KeyStatus, SecretFacts},
    limits::Limits,
    log::{ChangeKind, History, LogRow, Nonce},
    token::{Kid, TokenKeyRing},
};
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status, Streaming, async_trait, service::Routes};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(2);
pub(crate) const HISTORY: History = History { database: [1; 16], timeline: 0 };

pub(crate) struct State {
    pub(crate) keys: HashMap<Kid, KeyFacts>,
    log: Vec<LogRow>,
    watchers: Vec<mpsc::UnboundedSender<Result<WatchResponse, Status>>>,
    pub(crate) acknowledged: u64,
    /// Are renewals and pushes lost?
    pub(crate) deaf: bool,
    /// Do look-ups fail?
    pub(crate) down: bool,
    /// The next look-ups answer as of that row, with these facts: a replica that lags.
    pub(crate) lagging: Vec<(u64, KeyFacts)>,
}

#[derive(Clone)]
pub(crate) struct Issuance {
    state: Arc<Mutex<State>>,
    /// Look-ups wait for it to be open.
    open: Arc<watch::Sender<bool>>,
    arrived: Arc<AtomicUsize>,
    pub(crate) ring: TokenKeyRing,
    pub(crate) entropy: Arc<dyn Entropy>,
}

fn id(entropy: &dyn Entropy) -> Uuid {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    Uuid::from_bytes(bytes)
}

impl Issuance {
    pub(crate) fn new(ring: TokenKeyRing, entropy: Arc<dyn Entropy>) -> Self {
        let state = State {
            keys: HashMap::new(),
            log: Vec::new(),
            watchers: Vec::new(),
            acknowledged: 0,
            deaf: false,
            down: false,
            lagging: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            open: Arc::new(watch::channel(true).0),
            arrived: Arc::default(),
            ring,
            entropy,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        let routes = Routes::new(LogServiceServer::new(self.clone()))
            .add_service(FactServiceServer::new(self.clone()));
        transport::local(routes.prepare(), Identity::Role(Role::Verification))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// A new secret of a key: its token and what is at rest of it.
    pub(crate) fn mint(&self, kid: &Kid) -> (String, SecretFacts) {
        let minted = self.ring.mint(Environment::Prod, kid, &*self.entropy);
        let text = minted.text.expose_secret().to_owned();
        let params = Params::new(8, 1, 1, None).expect("the least there is");
        let phc = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(text.as_bytes(), &[7; 16])
            .expect("hashed");
        let secret = SecretFacts {
            id: SecretId::from_uuid(id(&*self.entropy)),
            phc: phc.to_string().into(),
            token_key_version: minted.token_key_version,
            not_after: None,
        };
        (text, secret)
    }

    /// Creates an active key without grants, changed by `change`, and says what its token is.
    pub(crate) fn create(&self, change: impl FnOnce(&mut KeyFacts)) -> (Kid, String) {
        let kid = Kid::generate(&*self.entropy);
        (kid, self.create_as(kid, change))
    }

    pub(crate) fn create_as(&self, kid: Kid, change: impl FnOnce(&mut KeyFacts)) -> String {
        let (token, secret) = self.mint(&kid);
        let mut facts = KeyFacts {
            key: KeyId::from_uuid(id(&*self.entropy)),
            team: TeamId::from_uuid(id(&*self.entropy)),
            kid,
            name: "a key".into(),
            environment: Environment::Prod,
            status: KeyStatus::Active,
            team_suspended: false,
            api_access: true,
            expires_at: None,
            ip_allow_list: Box::default(),
            limits: Limits::default(),
            secrets: Box::new([secret]),
            grants: Box::default(),
        };
        change(&mut facts);
        let scope = Scope::Key(facts.key);
        self.state().keys.insert(kid, facts);
        self.commit(scope, ChangeKind::KeyCreated);
        token
    }

    /// Changes a key's facts and commits the row that says so.
    pub(crate) fn change(
        &self,
        kid: Kid,
        kind: ChangeKind,
        change: impl FnOnce(&mut KeyFacts),
    ) -> u64 {
        let scope = {
            let mut state = self.state();
            let facts = state.keys.get_mut(&kid).expect("created");
            change(facts);
            Scope::Key(facts.key)
        };
        self.commit(scope, kind)
    }

    pub(crate) fn commit(&self, scope: Scope, kind: ChangeKind) -> u64 {
        let mut state = self.state();
        let seq = state.head() + 1;
        let row = LogRow {
            seq,
            nonce: nonce(seq),
            previous: nonce(seq - 1),
            scope,
            kind,
            cut: true,
            operation: OperationId::from_uuid(id(&*self.entropy)),
        };
        state.log.push(row);
        if !state.deaf {
            state.push(&[row]);
        }
        seq
    }

    /// Waits until what is committed is acknowledged, as a cut does before it returns.
    pub(crate) async fn barrier(&self) {
        let waiting = async {
            while {
                let state = self.state();
                state.acknowledged < state.head()
            } {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("acknowledged");
    }

    /// Look-ups whose facts were read, answered or not.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

fn nonce(seq: u64) -> Nonce {
    Nonce(u128::from(seq).to_be_bytes())
}

fn rows(rows: &[LogRow]) -> Vec<keystile_contract::proto::common::v1::LogRow> {
    rows.iter().map(convert::log_row).collect()
}

impl State {
    pub(crate) fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn position(&self) -> keystile_contract::proto::common::v1::Position {
        convert::position(&Position { history: HISTORY, seq: self.head() })
    }

    fn after(&self, seq: u64) -> Vec<LogRow> {
        self.log.iter().filter(|row| row.seq > seq).copied().collect()
    }

    fn push(&mut self, pushed: &[LogRow]) {
        if pushed.is_empty() {
            return;
        }
        let message = WatchResponse { history: HISTORY.to_string(), rows: rows(pushed) };
        self.watchers.retain(|watcher| watcher.send(Ok(message.clone())).is_ok());
    }

    fn acknowledge(&mut self, seq: u64) {
        self.acknowledged = self.acknowledged.max(seq);
    }
}

#[async_trait]
impl LogService for Issuance {
    async fn register(
        &self,
        _: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let state = self.state();
        Ok(Response::new(RegisterResponse {
            head: Some(state.position()),
            head_nonce: nonce(state.head()).0.to_vec(),
            floor: 0,
            rows: rows(&state.after(0)),
            resumed: false,
            terms: Some(LeaseTerms {
                lease_ttl: Some(convert::duration(LEASE)),
                renew_interval: Some(convert::duration(LEASE / 4)),
                drift_ppm: 10_000,
                margin: Some(convert::duration(LEASE / 20)),
            }),
        }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let applied = request.into_inner().applied.expect("sent").seq;
        let mut state = self.state();
        if state.deaf {
            return Err(Status::unavailable("lost"));
        }
        state.acknowledge(applied);
        Ok(Response::new(RenewResponse {
            head: Some(state.position()),
            head_nonce: nonce(state.head()).0.to_vec(),
            rows: rows(&state.after(applied)),
        }))
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut up = request.into_inner();
        let opening = up.next().await.expect("an opening")?;
        let (down, pushed) = mpsc::unbounded_channel();
        {
            let mut state = self.state();
            state.watchers.push(down);
            let behind = state.after(opening.applied.expect("sent").seq);
            state.push(&behind);
        }
        let issuance = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = up.next().await {
                issuance.state().acknowledge(message.applied.expect("sent").seq);
            }
        });
        Ok(Response::new(tokio_stream::wrappers::UnboundedReceiverStream::new(pushed).boxed()))
    }
}

#[async_trait]
impl FactService for Issuance {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let kid = request.into_inner().kid.parse().expect("a kid");
        // Read before the wait: an answer on its way is overtaken by what happens meanwhile.
        let answer = {
            let mut state = self.state();
            if state.down {
                return Err(Status::unavailable("down"));
            }
            let lagging = state.lagging.pop();
            let (seq, facts) = match lagging {
                Some((seq, facts)) => (seq, Some(facts)),
                None => (state.head(), state.keys.get(&kid).cloned()),
            };
            LookupResponse {
                as_of: Some(convert::position(&Position { history: HISTORY, seq })),
                facts: facts.as_ref().map(message),
            }
        };
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        Ok(Response::new(answer))
    }

    async fn authorize(
        &self,
        _: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        Err(Status::unimplemented("verification does not ask"))
    }

    async fn set_scope_status(
        &self,
        _: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        Err(Status::unimplemented("verification does not ask"))
    }
}

fn message(facts: &KeyFacts) -> proto::KeyFacts {
    let status = match facts.status {
        KeyStatus::Active => proto::KeyStatus::Active,
        KeyStatus::Disabled => proto::KeyStatus::Disabled,
        KeyStatus::Revoked => proto::KeyStatus::Revoked,
    };
    let secrets = facts.secrets.iter().map(|secret| proto::SecretFacts {
        id: secret.id.to_string(),
        phc: secret.phc.to_string(),
        token_key_version: secret.token_key_version.into(),
        not_after: secret.not_after.map(convert::timestamp),
    });
    let grants = facts.grants.iter().map(|held| proto::GrantFacts {
        grant: Some(convert::grant(&held.grant)),
        usable: held.usable,
    });
    proto::KeyFacts {
        key_id: facts.key.to_string(),
        team_id: facts.team.to_string(),
        kid: facts.kid.to_string(),
        name: facts.name.to_string(),
        environment: convert::environment(facts.environment).into(),
        status: status.into(),
        team_suspended: facts.team_suspended,
        api_access: facts.api_access,
        expires_at: facts.expires_at.map(convert::timestamp),
        ip_allow_list: facts.ip_allow_list.iter().map(ToString::to_string).collect(),
        limits: Some(convert::limits(facts.limits)),
        secrets: secrets.collect(),
        grants: grants.collect(),
    }
}
