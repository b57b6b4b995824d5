//! A team and its changes, asked for as the console asks: each is repeated until it is over.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use keystile_contract::{
    Failure, SealKeys, Transport, actor,
    proto::{
        common::v1::{Environment, Grant, Limits, Outcome, Receipt},
        issuance::v1::{
            CreateKeyRequest, CreateTeamRequest, DeleteKeyRequest, DisableKeyRequest,
            EnableKeyRequest, EndOverlapRequest, Expiry, GetCutRequest, IpAllowList, Plan,
            PutGrantRequest, RegenerateKeyRequest, RemoveGrantRequest, ResumeTeamRequest,
            RevokeKeyRequest, RotateKeyRequest, SetPlanRequest, SuspendTeamRequest,
            UpdateKeyRequest, key_service_client::KeyServiceClient,
            team_service_client::TeamServiceClient,
        },
        vault::v1::{
            CreateConnectionRequest, DeleteConnectionRequest, StaticCredential,
            connection_service_client::ConnectionServiceClient, static_credential,
        },
    },
};
use keystile_domain::{
    Actor, Clock as _, MemberRole, OperationId, Role, TeamId, UserId, permission::Principal,
};
use keystile_runtime::{SystemClock, SystemEntropy};
use keystile_tests::Deployment;
use tonic::{Code, Request, Status};

/// What keys are asked about.
pub(crate) const ECHO: &str = "action.sandbox.echo";
/// From where.
pub(crate) const SOURCE: &str = "192.0.2.7";
const APP: &str = "sandbox";
const OTHER: &str = "action.sandbox.list-notes";
/// Between attempts at a service that is not there.
const PAUSE: Duration = Duration::from_millis(20);
/// After this long without an answer, something does not heal.
const PATIENCE: Duration = Duration::from_mins(2);

/// The ways that the console has.
#[derive(Clone)]
pub(crate) struct Console {
    keys: KeyServiceClient<Transport>,
    teams: TeamServiceClient<Transport>,
    connections: ConnectionServiceClient<Transport>,
    seal_keys: Arc<SealKeys>,
}

/// What takes access away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Revoke,
    Delete,
    Regenerate,
    EndOverlap,
    Disable,
    Narrow,
    RemoveGrant,
    NarrowIps,
    Expire,
    LowerLimit,
    SuspendTeam,
    LowerPlan,
    DeleteConnection,
}

impl Cut {
    pub(crate) const ALL: [Self; 13] = [
        Self::Revoke,
        Self::Delete,
        Self::Regenerate,
        Self::EndOverlap,
        Self::Disable,
        Self::Narrow,
        Self::RemoveGrant,
        Self::NarrowIps,
        Self::Expire,
        Self::LowerLimit,
        Self::SuspendTeam,
        Self::LowerPlan,
        Self::DeleteConnection,
    ];
}

/// How a change ended. What it returned is missing if the answer to its first attempt was lost.
pub(crate) struct Settled<T> {
    pub(crate) value: Option<T>,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) took: Duration,
}

impl Console {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        let issuance = deployment.console(Role::Issuance);
        Self {
            keys: KeyServiceClient::new(issuance.clone()),
            teams: TeamServiceClient::new(issuance),
            connections: ConnectionServiceClient::new(deployment.console(Role::Vault)),
            seal_keys: Arc::new(deployment.seal_keys()),
        }
    }

    /// A request of `actor` to `to`.
    fn request<M>(&self, actor: &Actor, to: Role, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let now = SystemClock.now();
        actor::attach(request.metadata_mut(), actor, to, &self.seal_keys, now).expect("sealed");
        request
    }
}

/// A team of one owner with one connection.
pub(crate) struct Team {
    console: Console,
    id: TeamId,
    owner: Actor,
    operator: Actor,
    connection: String,
}

fn actor(principal: Principal, team: Option<TeamId>) -> Actor {
    Actor {
        principal,
        label: "hammer".to_owned(),
        team,
        permissions: MemberRole::Owner.permissions(),
        request_id: "hammer".to_owned(),
        source_ip: None,
    }
}

fn plan(api_access: bool) -> Plan {
    Plan { name: "hammer".to_owned(), api_access, max_keys: None, monthly_requests: None }
}

/// May the same request be sent again?
fn passes(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted)
}

/// An answer to come.
type Reply<T> = BoxFuture<'static, Result<T, Status>>;

/// Repeats `call` until it was heard, then `resume` until the change is over.
async fn repeated<T>(
    call: impl Fn() -> Reply<(T, Outcome)>,
    resume: impl Fn(&str) -> Reply<Outcome>,
    operation: &str,
) -> Settled<T> {
    let began = SystemClock.tick();
    let mut value = None;
    let outcome = loop {
        match call().await {
            Ok((returned, outcome)) => {
                value = Some(returned);
                break outcome;
            }
            Err(status) if passes(&status) => {}
            Err(status) => {
                let failure = Failure::from(status);
                // It was made, and its answer lost.
                assert_eq!(failure.reason, "operation_repeated", "{failure:?}");
                break Outcome {
                    operation_id: operation.to_owned(),
                    pending: true,
                    ..Outcome::default()
                };
            }
        }
        waited(began).await;
    };
    let mut outcome = outcome;
    while outcome.pending {
        match resume(&outcome.operation_id).await {
            Ok(resumed) => outcome = resumed,
            Err(status) => assert!(passes(&status), "{status:?}"),
        }
        if outcome.pending {
            waited(began).await;
        }
    }
    Settled { value, receipt: outcome.receipt, took: SystemClock.tick().since(began) }
}

async fn waited(since: keystile_domain::Tick) {
    assert!(SystemClock.tick() < since + PATIENCE, "a change does not come to its end");
    tokio::time::sleep(PAUSE).await;
}

/// A change of the key service: the method, its request with `operation` in it, what it returns.
macro_rules! change {
    ($team:ident, $method:ident($operation:ident => $request:expr), |$answer:ident| $value:expr) => {{
        let $operation = OperationId::generate(SystemClock.now(), &SystemEntropy).to_string();
        let call = || {
            let (mut keys, $operation) = ($team.console.keys.clone(), $operation.clone());
            let request = $team.console.request(&$team.owner, Role::Issuance, $request);
            let answer = async move {
                let $answer = keys.$method(request).await?.into_inner();
                let outcome = $answer.outcome.clone().unwrap_or_default();
                Ok(($value, outcome))
            };
            answer.boxed()
        };
        repeated(call, |operation| $team.get_cut(operation), &$operation).await
    }};
    ($team:ident, $method:ident($operation:ident => $request:expr)) => {
        change!($team, $method($operation => $request), |answer| ())
    };
}

/// The same of the team service, as the operator; these have no operation id, and a repeat finds
/// things as they are.
macro_rules! operate {
    ($team:ident, $method:ident($request:expr)) => {{
        let call = || {
            let mut teams = $team.console.teams.clone();
            let request = $team.console.request(&$team.operator, Role::Issuance, $request);
            let answer = async move {
                let answer = teams.$method(request).await?.into_inner();
                Ok(((), answer.outcome.unwrap_or_default()))
            };
            answer.boxed()
        };
        repeated(call, |operation| $team.get_cut(operation), "").await
    }};
}

impl Team {
    /// A new one.
    pub(crate) async fn create(console: Console) -> Self {
        let now = SystemClock.now();
        let id = TeamId::generate(now, &SystemEntropy);
        let owner = Principal::User(UserId::generate(now, &SystemEntropy));
        let (owner, operator) = (actor(owner, Some(id)), actor(Principal::Operator, None));
        let create = CreateTeamRequest { team_id: id.to_string(), name: "hammer".to_owned() };
        let request = console.request(&operator, Role::Issuance, create);
        console.teams.clone().create_team(request).await.expect("created");
        let mut team = Self { console, id, owner, operator, connection: String::new() };
        team.connect().await;
        team
    }

    /// Gives it another connection.
    pub(crate) async fn connect(&mut self) {
        let began = SystemClock.tick();
        loop {
            let kind = static_credential::Kind::BearerToken("upstream".to_owned());
            let create = CreateConnectionRequest {
                app_key: APP.to_owned(),
                name: "hammer".to_owned(),
                credential: Some(StaticCredential { kind: Some(kind) }),
                server_variables: std::collections::HashMap::new(),
            };
            let request = self.console.request(&self.owner, Role::Vault, create);
            match self.console.connections.clone().create_connection(request).await {
                Ok(answer) => {
                    self.connection = answer.into_inner().connection.expect("made").id;
                    return;
                }
                Err(status) => assert!(passes(&status), "{status:?}"),
            }
            waited(began).await;
        }
    }

    fn get_cut(&self, operation: &str) -> Reply<Outcome> {
        let get = GetCutRequest { operation_id: operation.to_owned() };
        let request = self.console.request(&self.owner, Role::Issuance, get);
        let mut keys = self.console.keys.clone();
        let answer = async move {
            let answer = keys.get_cut(request).await?.into_inner();
            Ok(answer.outcome.unwrap_or_default())
        };
        answer.boxed()
    }

    fn grant(&self, components: &[&str]) -> Grant {
        Grant {
            app_key: APP.to_owned(),
            connection_id: self.connection.clone(),
            integration_id: String::new(),
            allowed_components: components.iter().map(ToString::to_string).collect(),
        }
    }

    /// A new key: its id and its token.
    pub(crate) async fn key(&self) -> Settled<(String, String)> {
        change!(
            self,
            create_key(operation_id => CreateKeyRequest {
                name: "hammer".to_owned(),
                environment: Environment::Dev.into(),
                grants: vec![self.grant(&[ECHO, OTHER])],
                operation_id,
                ..CreateKeyRequest::default()
            }),
            |answer| (answer.key.expect("made").id, answer.token)
        )
    }

    /// A second secret: its token.
    pub(crate) async fn rotate(&self, key: &str) -> Settled<String> {
        let end = SystemClock.now() + Duration::from_hours(1);
        change!(
            self,
            rotate_key(operation_id => RotateKeyRequest {
                key_id: key.to_owned(),
                overlap_ends_at: Some(keystile_contract::convert::timestamp(end)),
                operation_id,
            }),
            |answer| answer.token
        )
    }

    /// A new secret and none besides: its token.
    pub(crate) async fn regenerate(&self, key: &str) -> Settled<String> {
        change!(
            self,
            regenerate_key(operation_id => RegenerateKeyRequest {
                key_id: key.to_owned(), operation_id,
            }),
            |answer| answer.token
        )
    }

    /// Revokes a key.
    pub(crate) async fn revoke(&self, key: &str) -> Settled<()> {
        change!(self, revoke_key(operation_id => RevokeKeyRequest {
            key_id: key.to_owned(), operation_id,
        }))
    }

    async fn put_grant(&self, key: &str, components: &[&str]) -> Settled<()> {
        change!(self, put_grant(operation_id => PutGrantRequest {
            key_id: key.to_owned(), grant: Some(self.grant(components)), operation_id,
        }))
    }

    async fn update(&self, key: &str, update: UpdateKeyRequest) -> Settled<()> {
        change!(self, update_key(operation_id => UpdateKeyRequest {
            key_id: key.to_owned(), operation_id, ..update.clone()
        }))
    }

    /// Makes a key stop soon: how it ended, and how long the key still has.
    pub(crate) async fn expire(&self, key: &str, within: Duration) -> (Settled<()>, Duration) {
        let (first, mut within) = (SystemClock.tick(), within);
        loop {
            let began = SystemClock.tick();
            let at = SystemClock.now() + within;
            let update = UpdateKeyRequest {
                key_id: key.to_owned(),
                expiry: Some(Expiry { at: Some(keystile_contract::convert::timestamp(at)) }),
                ..UpdateKeyRequest::default()
            };
            // Another attempt would come after the end that this one asks for.
            let request = self.console.request(&self.owner, Role::Issuance, update);
            let answer = self.console.keys.clone().update_key(request).await;
            let outcome = match answer {
                Ok(answer) => answer.into_inner().outcome.unwrap_or_default(),
                Err(status) => {
                    assert!(passes(&status) || SystemClock.now() >= at, "{status:?}");
                    waited(first).await;
                    // Where calls take longer than that, an end so soon is over when it arrives.
                    within *= 2;
                    continue;
                }
            };
            let call = || std::future::ready(Ok(((), outcome.clone()))).boxed();
            let settled = repeated(call, |operation| self.get_cut(operation), "").await;
            let took = SystemClock.tick().since(began);
            let left = (at - SystemClock.now()).try_into().unwrap_or(Duration::ZERO);
            return (Settled { took, ..settled }, left);
        }
    }

    async fn delete_connection(&self) -> Settled<()> {
        let call = || {
            let delete = DeleteConnectionRequest { connection_id: self.connection.clone() };
            let request = self.console.request(&self.owner, Role::Vault, delete);
            let mut connections = self.console.connections.clone();
            let answer = async move {
                let answer = connections.delete_connection(request).await?.into_inner();
                Ok(((), answer.outcome.unwrap_or_default()))
            };
            answer.boxed()
        };
        // Repeating it takes up the same cut.
        let resume = |_: &str| call().map_ok(|((), outcome)| outcome).boxed();
        repeated(call, resume, "").await
    }

    /// Makes a cut that a later change can undo.
    pub(crate) async fn cut(&self, key: &str, cut: Cut) -> Settled<()> {
        let update = UpdateKeyRequest::default();
        match cut {
            Cut::Revoke => self.revoke(key).await,
            Cut::Delete => change!(self, delete_key(operation_id => DeleteKeyRequest {
                key_id: key.to_owned(), operation_id,
            })),
            Cut::EndOverlap => change!(self, end_overlap(operation_id => EndOverlapRequest {
                key_id: key.to_owned(), operation_id,
            })),
            Cut::Disable => change!(self, disable_key(operation_id => DisableKeyRequest {
                key_id: key.to_owned(), operation_id,
            })),
            Cut::Narrow => self.put_grant(key, &[OTHER]).await,
            Cut::RemoveGrant => change!(self, remove_grant(operation_id => RemoveGrantRequest {
                key_id: key.to_owned(), app_key: APP.to_owned(), operation_id,
            })),
            Cut::NarrowIps => {
                let networks = vec!["198.51.100.0/24".to_owned()];
                let ip_allow_list = Some(IpAllowList { networks });
                self.update(key, UpdateKeyRequest { ip_allow_list, ..update }).await
            }
            Cut::LowerLimit => {
                let requests_per_minute = Some(LOWERED);
                let limits = Some(Limits { requests_per_minute, requests_per_month: None });
                self.update(key, UpdateKeyRequest { limits, ..update }).await
            }
            Cut::SuspendTeam => {
                operate!(self, suspend_team(SuspendTeamRequest { team_id: self.id.to_string() }))
            }
            Cut::LowerPlan => operate!(
                self,
                set_plan(SetPlanRequest { team_id: self.id.to_string(), plan: Some(plan(false)) })
            ),
            Cut::DeleteConnection => self.delete_connection().await,
            Cut::Regenerate | Cut::Expire => panic!("{cut:?} returns more than that"),
        }
    }

    /// Undoes it.
    pub(crate) async fn give_back(&mut self, key: &str, cut: Cut) -> Settled<()> {
        let update = UpdateKeyRequest::default();
        match cut {
            Cut::Disable => change!(self, enable_key(operation_id => EnableKeyRequest {
                key_id: key.to_owned(), operation_id,
            })),
            Cut::Narrow | Cut::RemoveGrant => self.put_grant(key, &[ECHO, OTHER]).await,
            Cut::DeleteConnection => {
                self.connect().await;
                self.put_grant(key, &[ECHO, OTHER]).await
            }
            Cut::NarrowIps => {
                let ip_allow_list = Some(IpAllowList::default());
                self.update(key, UpdateKeyRequest { ip_allow_list, ..update }).await
            }
            Cut::Expire => {
                let expiry = Some(Expiry { at: None });
                self.update(key, UpdateKeyRequest { expiry, ..update }).await
            }
            Cut::LowerLimit => {
                let limits = Some(Limits::default());
                self.update(key, UpdateKeyRequest { limits, ..update }).await
            }
            Cut::SuspendTeam => {
                operate!(self, resume_team(ResumeTeamRequest { team_id: self.id.to_string() }))
            }
            Cut::LowerPlan => operate!(
                self,
                set_plan(SetPlanRequest { team_id: self.id.to_string(), plan: Some(plan(true)) })
            ),
            Cut::Revoke | Cut::Delete | Cut::Regenerate | Cut::EndOverlap => {
                panic!("{cut:?} is final")
            }
        }
    }
}

/// Requests a minute that a lowered limit leaves.
pub(crate) const LOWERED: u32 = 1_000_000;
