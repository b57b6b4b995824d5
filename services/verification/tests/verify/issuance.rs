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
use keystile_contract::{
    Identity, Transport, convert,
    proto::issuance::v1::{
        AuthorizeRequest, AuthorizeResponse, LookupRequest, LookupResponse,
        ReleaseComponentsRequest, ReleaseComponentsResponse, SetScopeStatusRequest,
        SetScopeStatusResponse,
        fact_service_server::{FactService, FactServiceServer},
        log_service_server::LogServiceServer,
    },
    transport,
};
use keystile_domain::{
    Entropy, Environment, KeyId, Position, Role, Scope, SecretId, TeamId,
    facts::{KeyFacts, KeyStatus, SecretFacts},
    limits::Limits,
    log::ChangeKind,
    token::{Kid, TokenKeyRing},
};
use keystile_testkit::{LogDouble, MockClock, log::Renewals};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait, service::Routes};
use uuid::Uuid;

pub(crate) struct State {
    pub(crate) keys: HashMap<Kid, KeyFacts>,
    /// Do look-ups fail?
    pub(crate) down: bool,
    /// The next look-ups answer as of that row, with these facts: a replica that lags.
    pub(crate) lagging: Vec<(u64, KeyFacts)>,
}

#[derive(Clone)]
pub(crate) struct Issuance {
    pub(crate) log: LogDouble,
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
    pub(crate) fn new(ring: TokenKeyRing, clock: MockClock, entropy: Arc<dyn Entropy>) -> Self {
        let state = State { keys: HashMap::new(), down: false, lagging: Vec::new() };
        Self {
            log: LogDouble::new(clock),
            state: Arc::new(Mutex::new(state)),
            open: Arc::new(watch::channel(true).0),
            arrived: Arc::default(),
            ring,
            entropy,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        let routes = Routes::new(LogServiceServer::new(self.log.clone()))
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
        self.log.commit_as(scope, ChangeKind::KeyCreated);
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
        self.log.commit_as(scope, kind).seq
    }

    /// Waits until what is committed is acknowledged, as a cut does before it returns.
    pub(crate) async fn barrier(&self) {
        let waiting = async {
            while {
                let log = self.log.state();
                log.acknowledged.iter().max() < Some(&log.head().seq)
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

    /// Loses renewals and pushes from now on.
    pub(crate) fn deafen(&self) {
        let mut log = self.log.state();
        (log.renewals, log.pushes) = (Renewals::Lost, false);
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
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
            let head = self.log.head();
            let (seq, facts) = match lagging {
                Some((seq, facts)) => (seq, Some(facts)),
                None => (head.seq, state.keys.get(&kid).cloned()),
            };
            LookupResponse {
                as_of: Some(convert::position(&Position { seq, ..head })),
                facts: facts.as_ref().map(convert::key_facts),
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

    async fn release_components(
        &self,
        _: Request<ReleaseComponentsRequest>,
    ) -> Result<Response<ReleaseComponentsResponse>, Status> {
        Err(Status::unimplemented("nothing is released here"))
    }

    async fn set_scope_status(
        &self,
        _: Request<SetScopeStatusRequest>,
    ) -> Result<Response<SetScopeStatusResponse>, Status> {
        Err(Status::unimplemented("verification does not ask"))
    }
}
