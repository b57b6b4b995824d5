//! A double of issuance: teams and keys in memory, every call checked for its sealed actor.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keystile_contract::{
    Failure, SealKeys, actor, convert,
    proto::{
        common::v1::{AuditEntry, Outcome, Receipt},
        issuance::v1::{key_service_server::KeyService, team_service_server::TeamService, *},
    },
};
use keystile_domain::{Actor, AuditId, Clock as _, ErrorKind, KeyId, Permission, TeamId};
use keystile_testkit::{MockClock, SeededEntropy};
use tonic::{Request, Response, Status};

/// The token that the double gives to each new key.
pub(crate) const TOKEN: &str = "ks_dev_the_one_secret_of_this_test";

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) teams: Vec<String>,
    pub(crate) keys: BTreeMap<String, (TeamId, Key)>,
    pub(crate) operations: BTreeMap<String, String>,
    pub(crate) actors: Vec<Actor>,
    pub(crate) audit: Vec<AuditEntry>,
    /// Changes are answered as pending.
    pub(crate) pending: bool,
}

#[derive(Clone)]
pub(crate) struct Issuance {
    rows: Arc<Mutex<Rows>>,
    seal_keys: SealKeys,
    clock: MockClock,
    entropy: Arc<SeededEntropy>,
}

impl Issuance {
    pub(crate) fn new(seal_keys: SealKeys, clock: MockClock) -> Self {
        Self { rows: Arc::default(), seal_keys, clock, entropy: Arc::new(SeededEntropy::new(77)) }
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a row to the trail, one millisecond after the last.
    pub(crate) fn audited(&self, action: &str) -> String {
        self.clock.advance(std::time::Duration::from_millis(1));
        let id = AuditId::generate(self.clock.now(), &*self.entropy).to_string();
        self.rows().audit.push(AuditEntry {
            id: id.clone(),
            at: Some(convert::timestamp(self.clock.now())),
            action: action.to_owned(),
            ..AuditEntry::default()
        });
        id
    }

    fn actor<M>(&self, request: &Request<M>) -> Result<Actor, Status> {
        assert!(request.metadata().contains_key("grpc-timeout"), "every call has a deadline");
        let actor = actor::of_request(request.metadata(), &self.seal_keys, self.clock.now())?;
        self.rows().actors.push(actor.clone());
        Ok(actor)
    }

    fn outcome(&self, operation: &str) -> Outcome {
        let pending = self.rows().pending;
        let receipt = Receipt { seq: 7, acknowledged: 3, waited_out: 0, elapsed: None };
        Outcome {
            operation_id: operation.to_owned(),
            receipt: (!pending).then_some(receipt),
            pending,
        }
    }

    fn find(&self, actor: &Actor, id: &str) -> Result<Key, Status> {
        let found = self.rows().keys.get(id).filter(|(team, _)| Some(*team) == actor.team).cloned();
        let missing = Failure::new(ErrorKind::NotFound, "not_found", "there is no such key");
        found.map(|(_, key)| key).ok_or_else(|| missing.with("id", id).into())
    }

    fn change<M>(
        &self,
        request: &Request<M>,
        id: &str,
        operation: &str,
        with: impl FnOnce(&mut Key),
    ) -> Result<(Option<Key>, Option<Outcome>), Status> {
        let actor = self.actor(request)?;
        let mut key = self.find(&actor, id)?;
        let environment = convert::from_environment(key.environment()).expect("an environment");
        actor.require(Permission::for_keys_in(environment)).map_err(Failure::from)?;
        with(&mut key);
        self.rows().keys.entry(id.to_owned()).and_modify(|row| row.1 = key.clone());
        Ok((Some(key), Some(self.outcome(operation))))
    }
}

fn unimplemented<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not part of the double"))
}

#[tonic::async_trait]
impl KeyService for Issuance {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let actor = self.actor(&request)?;
        let message = request.into_inner();
        let environment = convert::from_environment(message.environment()).expect("given");
        let team = actor.require(Permission::for_keys_in(environment)).map_err(Failure::from)?;
        if message.name.contains('<') {
            return Err(Failure::invalid("name", "must not contain < or >").into());
        }
        if message.grants.is_empty() {
            return Err(Failure::invalid("grants", "needs at least one").into());
        }
        if let Some(at) = message.grants.iter().position(|grant| grant.app_key == "unknown") {
            return Err(Failure::invalid(format!("grants[{at}].app_key"), "is unknown").into());
        }
        if let Some(key) = self.rows().operations.get(&message.operation_id) {
            let failure = Failure::new(ErrorKind::Conflict, "operation_repeated", "done before");
            return Err(failure.with("key_id", key).into());
        }
        let id = KeyId::generate(self.clock.now(), &*self.entropy).to_string();
        let environment = message.environment;
        let key = Key {
            id: id.clone(),
            name: message.name,
            environment,
            status: KeyStatus::Active.into(),
            masked_token: "ks_dev_abcdef…".to_owned(),
            grants: message.grants,
            created_at: Some(convert::timestamp(self.clock.now())),
            updated_at: Some(convert::timestamp(self.clock.now())),
            ..Key::default()
        };
        let mut rows = self.rows();
        rows.keys.insert(id.clone(), (team, key.clone()));
        rows.operations.insert(message.operation_id.clone(), id);
        drop(rows);
        Ok(Response::new(CreateKeyResponse {
            key: Some(key),
            token: TOKEN.to_owned(),
            outcome: Some(self.outcome(&message.operation_id)),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let actor = self.actor(&request)?;
        let rows = self.rows();
        let keys = rows.keys.values().filter(|(team, _)| Some(*team) == actor.team);
        let keys = keys.map(|(_, key)| key.clone()).collect();
        Ok(Response::new(ListKeysResponse { keys, next_page_token: String::new() }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        let actor = self.actor(&request)?;
        let key = self.find(&actor, &request.get_ref().key_id)?;
        Ok(Response::new(GetKeyResponse { key: Some(key) }))
    }

    async fn update_key(
        &self,
        request: Request<UpdateKeyRequest>,
    ) -> Result<Response<UpdateKeyResponse>, Status> {
        let message = request.get_ref();
        let name = message.name.clone();
        let with = |key: &mut Key| key.name = name.unwrap_or(key.name.clone());
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(UpdateKeyResponse { key, outcome }))
    }

    async fn put_grant(
        &self,
        request: Request<PutGrantRequest>,
    ) -> Result<Response<PutGrantResponse>, Status> {
        let message = request.get_ref();
        let with = |_: &mut Key| {};
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(PutGrantResponse { key, outcome }))
    }

    async fn remove_grant(
        &self,
        request: Request<RemoveGrantRequest>,
    ) -> Result<Response<RemoveGrantResponse>, Status> {
        let message = request.get_ref();
        let with = |key: &mut Key| key.grants.clear();
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(RemoveGrantResponse { key, outcome }))
    }

    async fn disable_key(
        &self,
        request: Request<DisableKeyRequest>,
    ) -> Result<Response<DisableKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |key: &mut Key| key.set_status(KeyStatus::Disabled);
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(DisableKeyResponse { key, outcome }))
    }

    async fn enable_key(
        &self,
        request: Request<EnableKeyRequest>,
    ) -> Result<Response<EnableKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |key: &mut Key| key.set_status(KeyStatus::Active);
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(EnableKeyResponse { key, outcome }))
    }

    async fn regenerate_key(
        &self,
        request: Request<RegenerateKeyRequest>,
    ) -> Result<Response<RegenerateKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |_: &mut Key| {};
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(RegenerateKeyResponse { key, token: TOKEN.to_owned(), outcome }))
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<RotateKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |_: &mut Key| {};
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(RotateKeyResponse { key, token: TOKEN.to_owned(), outcome }))
    }

    async fn end_overlap(
        &self,
        request: Request<EndOverlapRequest>,
    ) -> Result<Response<EndOverlapResponse>, Status> {
        let message = request.get_ref();
        let with = |_: &mut Key| {};
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(EndOverlapResponse { key, outcome }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |key: &mut Key| key.set_status(KeyStatus::Revoked);
        let (key, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(RevokeKeyResponse { key, outcome }))
    }

    async fn delete_key(
        &self,
        request: Request<DeleteKeyRequest>,
    ) -> Result<Response<DeleteKeyResponse>, Status> {
        let message = request.get_ref();
        let with = |_: &mut Key| {};
        let (_, outcome) = self.change(&request, &message.key_id, &message.operation_id, with)?;
        Ok(Response::new(DeleteKeyResponse { outcome }))
    }

    async fn get_cut(
        &self,
        request: Request<GetCutRequest>,
    ) -> Result<Response<GetCutResponse>, Status> {
        self.actor(&request)?;
        let missing = Failure::new(ErrorKind::NotFound, "not_found", "there is no such change");
        Err(missing.into())
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let actor = self.actor(&request)?;
        actor.require(Permission::AuditExport).map_err(Failure::from)?;
        let message = request.get_ref();
        let mut entries = self.rows().audit.clone();
        entries.reverse();
        let (entries, next_page_token) =
            crate::audit::page(entries, message.page_size, &message.page_token);
        Ok(Response::new(ListAuditResponse { entries, next_page_token }))
    }
}

#[tonic::async_trait]
impl TeamService for Issuance {
    async fn create_team(
        &self,
        request: Request<CreateTeamRequest>,
    ) -> Result<Response<CreateTeamResponse>, Status> {
        self.actor(&request)?.require_operator().map_err(Failure::from)?;
        let message = request.into_inner();
        self.rows().teams.push(message.team_id.clone());
        Ok(Response::new(CreateTeamResponse { team: Some(team(message.team_id)) }))
    }

    async fn get_team(
        &self,
        request: Request<GetTeamRequest>,
    ) -> Result<Response<GetTeamResponse>, Status> {
        let id = convert::text(self.actor(&request)?.team);
        Ok(Response::new(GetTeamResponse { team: Some(team(id)) }))
    }

    async fn set_plan(
        &self,
        request: Request<SetPlanRequest>,
    ) -> Result<Response<SetPlanResponse>, Status> {
        self.actor(&request)?.require_operator().map_err(Failure::from)?;
        let message = request.into_inner();
        let team = Team { plan: message.plan, ..team(message.team_id) };
        Ok(Response::new(SetPlanResponse {
            team: Some(team),
            outcome: Some(self.outcome("op_plan")),
        }))
    }

    async fn suspend_team(
        &self,
        _: Request<SuspendTeamRequest>,
    ) -> Result<Response<SuspendTeamResponse>, Status> {
        unimplemented()
    }

    async fn resume_team(
        &self,
        _: Request<ResumeTeamRequest>,
    ) -> Result<Response<ResumeTeamResponse>, Status> {
        unimplemented()
    }

    async fn retire_token_key(
        &self,
        _: Request<RetireTokenKeyRequest>,
    ) -> Result<Response<RetireTokenKeyResponse>, Status> {
        unimplemented()
    }
}

fn team(id: String) -> Team {
    let plan = Plan { name: "self-hosted".to_owned(), api_access: true, ..Plan::default() };
    Team {
        id,
        name: "Acme".to_owned(),
        status: TeamStatus::Active.into(),
        plan: Some(plan),
        key_count: 0,
    }
}
