//! The workload: people who give and cut access and see to it that each change is over before they
//! make the next, and programs that ask about it all the time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keystile_contract::{
    Failure, SealKeys, Transport, actor,
    proto::{
        common::v1::{Environment, Grant, Outcome},
        issuance::v1::{
            CreateKeyRequest, CreateTeamRequest, DisableKeyRequest, EnableKeyRequest,
            GetCutRequest, PutGrantRequest, RegenerateKeyRequest, ResumeTeamRequest,
            RevokeKeyRequest, SuspendTeamRequest, key_service_client::KeyServiceClient,
            team_service_client::TeamServiceClient,
        },
    },
};
use keystile_domain::{
    Actor, Clock, ErrorKind, KeyId, MemberRole, OperationId, Role, TeamId, UserId,
    permission::Principal,
};
use keystile_testkit::SeededEntropy;
use tonic::Request;

use crate::{
    clock::SimClock,
    counts::What,
    ledger::{Facet, Sense},
    rng::Rng,
    world::{Ask, ISSUERS, SEALING, VERIFIERS, World},
};

/// How long a person waits for an answer: long enough for any barrier, or not.
const PATIENCE: [Duration; 2] = [Duration::from_secs(4), Duration::from_millis(600)];
const COMPONENTS: [&str; 2] = ["action.sandbox.echo", "action.sandbox.list-items"];

/// What is asked about: the questions of every key that there is.
#[derive(Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<Vec<Ask>>>);

impl Questions {
    fn add(&self, asks: &[Ask]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(asks);
    }

    /// One of them, rather a newer one.
    fn any(&self, rng: &Rng) -> Option<Ask> {
        let asks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = rng.index(asks.len().min(24));
        let place = if rng.chance(800) { asks.len().checked_sub(1 + recent)? } else { recent };
        asks.get(place).cloned()
    }
}

/// Asks now and then, of any verifier, for ever.
pub(crate) async fn programs(world: Arc<World>, questions: Questions, rng: Rng) {
    loop {
        tokio::time::sleep(rng.millis(5, 50)).await;
        let (Some(ask), node) = (questions.any(&rng), rng.index(VERIFIERS)) else { continue };
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.verify(node, &ask).await });
    }
}

/// Asks every verifier one of `asks`, again and again with growing pauses.
fn burst(world: &Arc<World>, asks: &[Ask], pauses: &'static [u64], rng: &Rng) {
    if asks.is_empty() {
        return;
    }
    for node in 0..VERIFIERS {
        let (world, asks, rng) = (Arc::clone(world), asks.to_vec(), rng.fork(1));
        tokio::spawn(async move {
            for pause in pauses {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                let (world, ask) = (Arc::clone(&world), asks[rng.index(asks.len())].clone());
                tokio::spawn(async move { world.verify(node, &ask).await });
            }
        });
    }
}

/// Fills the caches before a cut, and while it is made.
const BEFORE: &[u64] = &[0, 4, 8, 15, 60, 150];
/// Right after a cut returned.
const AFTER: &[u64] = &[0, 1, 3, 10, 40, 150, 500];

/// One person at the console.
pub(crate) struct Hand {
    world: Arc<World>,
    questions: Questions,
    rng: Rng,
    clock: SimClock,
    entropy: SeededEntropy,
    seal_keys: SealKeys,
    who: Actor,
}

/// A team, and who works on its keys.
#[derive(Clone, Copy)]
pub(crate) struct Team {
    pub(crate) id: TeamId,
    pub(crate) facet: Facet,
}

struct Key {
    id: KeyId,
    token: String,
    token_facet: Facet,
    state: Facet,
    components: [Facet; 2],
}

/// A change of a key under one operation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Disable,
    Enable,
    Narrow,
    Widen,
    Regenerate,
    Revoke,
}

fn grant(components: &[&str]) -> Grant {
    Grant {
        app_key: "sandbox".to_owned(),
        allowed_components: components.iter().map(|id| (*id).to_owned()).collect(),
        ..Grant::default()
    }
}

/// Is it unknown whether the call did anything?
fn unknown(failure: &Failure) -> bool {
    matches!(failure.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Internal)
}

impl Hand {
    pub(crate) fn new(
        world: &Arc<World>,
        questions: &Questions,
        rng: Rng,
        clock: SimClock,
        team: Option<TeamId>,
    ) -> Self {
        let entropy = SeededEntropy::new(rng.next());
        let (principal, permissions) = match team {
            Some(_) => {
                let user = UserId::generate(clock.now(), &entropy);
                (Principal::User(user), MemberRole::Owner.permissions())
            }
            None => (Principal::Operator, std::collections::BTreeSet::default()),
        };
        let who = Actor {
            principal,
            label: "a person".to_owned(),
            team,
            permissions,
            request_id: "req".to_owned(),
            source_ip: None,
        };
        let seal_keys = SealKeys::derive(Role::Console, &SEALING);
        let (world, questions) = (Arc::clone(world), questions.clone());
        Self { world, questions, rng, clock, entropy, seal_keys, who }
    }

    fn by<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let now = self.clock.now();
        actor::attach(request.metadata_mut(), &self.who, Role::Issuance, &self.seal_keys, now)
            .expect("sealed");
        request.set_timeout(PATIENCE[usize::from(self.rng.chance(150))]);
        request
    }

    fn issuance(&self) -> Transport {
        self.world.console[self.issuer()].clone()
    }

    fn issuer(&self) -> usize {
        self.rng.index(ISSUERS)
    }

    fn operation(&self) -> String {
        OperationId::generate(self.clock.now(), &self.entropy).to_string()
    }

    /// Waits before a change that is not known to be over is asked for again.
    async fn again(&self) {
        tokio::time::sleep(self.rng.millis(10, 200)).await;
    }

    /// One attempt.
    async fn attempt<T>(
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE[0], call).await {
            Ok(answer) => Ok(answer.map_err(Failure::from)?.into_inner()),
            Err(_) => Err(tonic::Status::deadline_exceeded("no answer").into()),
        }
    }

    /// Counts a cut that is over.
    fn count(&self, outcome: &Outcome) {
        let Some(receipt) = &outcome.receipt else { return };
        let waited = receipt.waited_out > 0;
        self.world.count(if waited { What::CutWaited } else { What::CutAcknowledged });
    }

    async fn send(
        &self,
        action: Action,
        key: &Key,
        operation: &str,
        issuer: usize,
    ) -> Result<(Option<Outcome>, String), Failure> {
        let mut keys = KeyServiceClient::new(self.world.console[issuer].clone());
        let (key_id, operation_id) = (key.id.to_string(), operation.to_owned());
        let none = String::new();
        Ok(match action {
            Action::Disable => {
                let request = self.by(DisableKeyRequest { key_id, operation_id });
                (Self::attempt(keys.disable_key(request)).await?.outcome, none)
            }
            Action::Enable => {
                let request = self.by(EnableKeyRequest { key_id, operation_id });
                (Self::attempt(keys.enable_key(request)).await?.outcome, none)
            }
            Action::Narrow | Action::Widen => {
                let held = if action == Action::Narrow { &COMPONENTS[..1] } else { &COMPONENTS };
                let grant = Some(grant(held));
                let request = self.by(PutGrantRequest { key_id, grant, operation_id });
                (Self::attempt(keys.put_grant(request)).await?.outcome, none)
            }
            Action::Regenerate => {
                let request = self.by(RegenerateKeyRequest { key_id, operation_id });
                let answer = Self::attempt(keys.regenerate_key(request)).await?;
                (answer.outcome, answer.token)
            }
            Action::Revoke => {
                let request = self.by(RevokeKeyRequest { key_id, operation_id });
                (Self::attempt(keys.revoke_key(request)).await?.outcome, none)
            }
        })
    }

    /// Makes a change, and sees it through. The token that came of it, if its answer was heard.
    async fn carry_out(&self, action: Action, key: &Key) -> Option<String> {
        let operation = self.operation();
        let mut token = None;
        // Committed, as far as anybody was told, and not over.
        let mut pending = false;
        // Later attempts count from the first one's commit.
        let mut issuer = self.issuer();
        let mut undisturbed = self.world.undisturbed(issuer);
        loop {
            let answer = if pending {
                let request = self.by(GetCutRequest { operation_id: operation.clone() });
                let mut keys = KeyServiceClient::new(self.issuance());
                let cut = Self::attempt(keys.get_cut(request)).await;
                cut.map(|cut| (cut.outcome, String::new()))
            } else {
                self.send(action, key, &operation, issuer).await
            };
            match answer {
                Ok((outcome, issued)) => {
                    if !issued.is_empty() {
                        token = Some(issued);
                    }
                    let outcome = outcome.expect("an outcome");
                    if !outcome.pending {
                        self.count(&outcome);
                        if undisturbed.is_some() && undisturbed == self.world.undisturbed(issuer) {
                            self.world.ledger.timed(outcome.receipt.as_ref(), &operation);
                        }
                        return token;
                    }
                    if !pending {
                        self.world.count(What::CutPending);
                    }
                    pending = true;
                }
                Err(failure) if failure.reason == "operation_repeated" => pending = true,
                // What was read of it, and told to nobody, was lost in a failover.
                Err(failure) if pending && failure.kind == ErrorKind::NotFound => pending = false,
                Err(failure) if unknown(&failure) => {}
                Err(failure) => panic!("{action:?}: {failure:?}"),
            }
            (issuer, undisturbed) = (self.issuer(), None);
            self.again().await;
        }
    }

    fn asks(team: Team, key: &Key) -> Vec<Ask> {
        let common = [team.facet, key.state, key.token_facet];
        let ask = |component: Option<usize>| Ask {
            team: team.id,
            key: key.id,
            token: key.token.clone(),
            component: component.map(|of| COMPONENTS[of].parse().expect("a component")),
            facets: common.into_iter().chain(component.map(|of| key.components[of])).collect(),
            what: format!("{}, {component:?}", key.id),
        };
        vec![ask(None), ask(Some(0)), ask(Some(1))]
    }

    async fn create(&self) -> Option<Key> {
        let facets = [(); 4].map(|()| self.world.ledger.facet());
        for facet in facets {
            self.world.ledger.begin(facet, Sense::Give);
        }
        let created = loop {
            let request = CreateKeyRequest {
                name: "a key".to_owned(),
                environment: Environment::Dev.into(),
                grants: vec![grant(&COMPONENTS)],
                operation_id: self.operation(),
                ..CreateKeyRequest::default()
            };
            let mut keys = KeyServiceClient::new(self.issuance());
            match Self::attempt(keys.create_key(self.by(request))).await {
                Ok(created) => break created,
                Err(failure) if unknown(&failure) => self.again().await,
                // Its own duplicate came first: the token is lost.
                Err(failure) if failure.reason == "operation_repeated" => {}
                Err(failure) => panic!("create: {failure:?}"),
            }
        };
        for facet in facets {
            self.world.ledger.returned(facet);
        }
        let [token_facet, state, echo, list] = facets;
        let id = created.key?.id.parse().ok()?;
        let components = [echo, list];
        Some(Key { id, token: created.token, token_facet, state, components })
    }

    /// Keeps making and changing a key, then another, for ever.
    pub(crate) async fn work(self, team: Team) {
        loop {
            let Some(mut key) = self.create().await else { continue };
            self.questions.add(&Self::asks(team, &key));
            for _ in 0..=self.rng.below(5) {
                self.rest().await;
                let done = match self.rng.below(3) {
                    0 => self.disable(team, &key).await,
                    1 => self.narrow(team, &key).await,
                    _ => self.regenerate(team, &mut key).await,
                };
                if done.is_none() {
                    break;
                }
            }
            self.rest().await;
            self.cut(team, &key, Action::Revoke, key.state).await;
        }
    }

    async fn rest(&self) {
        tokio::time::sleep(self.rng.millis(20, 400)).await;
    }

    /// Makes a cut, with questions before, during and after it.
    async fn cut(&self, team: Team, key: &Key, action: Action, facet: Facet) -> Option<String> {
        let mut asks = Self::asks(team, key);
        asks.retain(|ask| ask.facets.contains(&facet));
        burst(&self.world, &asks, BEFORE, &self.rng);
        tokio::time::sleep(self.rng.millis(0, 25)).await;
        self.world.ledger.begin(facet, Sense::Cut);
        let token = self.carry_out(action, key).await;
        self.world.ledger.returned(facet);
        burst(&self.world, &asks, AFTER, &self.rng);
        token
    }

    async fn give(&self, key: &Key, action: Action, facet: Facet) {
        self.world.ledger.begin(facet, Sense::Give);
        self.carry_out(action, key).await;
        self.world.ledger.returned(facet);
    }

    async fn disable(&self, team: Team, key: &Key) -> Option<()> {
        self.cut(team, key, Action::Disable, key.state).await;
        self.rest().await;
        self.give(key, Action::Enable, key.state).await;
        Some(())
    }

    async fn narrow(&self, team: Team, key: &Key) -> Option<()> {
        self.cut(team, key, Action::Narrow, key.components[1]).await;
        self.rest().await;
        self.give(key, Action::Widen, key.components[1]).await;
        Some(())
    }

    /// `None` if the answer was lost, and with it the new token.
    async fn regenerate(&self, team: Team, key: &mut Key) -> Option<()> {
        let fresh = self.world.ledger.facet();
        self.world.ledger.begin(fresh, Sense::Give);
        key.token = self.cut(team, key, Action::Regenerate, key.token_facet).await?;
        self.world.ledger.returned(fresh);
        key.token_facet = fresh;
        self.questions.add(&Self::asks(team, key));
        Some(())
    }

    /// A new team, by the operator.
    pub(crate) async fn found(&self) -> Team {
        let id = TeamId::generate(self.clock.now(), &self.entropy);
        let facet = self.world.ledger.facet();
        self.world.ledger.begin(facet, Sense::Give);
        loop {
            let mut teams = TeamServiceClient::new(self.issuance());
            let request = CreateTeamRequest { team_id: id.to_string(), name: "a team".to_owned() };
            match Self::attempt(teams.create_team(self.by(request))).await {
                Ok(_) => break,
                // Its first answer was lost.
                Err(failure) if failure.reason == "team_exists" => break,
                Err(failure) if unknown(&failure) => self.again().await,
                Err(failure) => panic!("create team: {failure:?}"),
            }
        }
        self.world.ledger.returned(facet);
        Team { id, facet }
    }

    /// Suspends and resumes a team, for ever.
    pub(crate) async fn govern(self, team: Team) {
        loop {
            tokio::time::sleep(self.rng.millis(500, 4_000)).await;
            self.world.ledger.begin(team.facet, Sense::Cut);
            loop {
                let mut teams = TeamServiceClient::new(self.issuance());
                let request = self.by(SuspendTeamRequest { team_id: team.id.to_string() });
                match Self::attempt(teams.suspend_team(request)).await {
                    Ok(answer) => {
                        let outcome = answer.outcome.expect("an outcome");
                        if !outcome.pending {
                            self.count(&outcome);
                            break;
                        }
                        self.world.count(What::CutPending);
                    }
                    Err(failure) if unknown(&failure) => {}
                    Err(failure) => panic!("suspend: {failure:?}"),
                }
                self.again().await;
            }
            self.world.ledger.returned(team.facet);
            let asks: Vec<_> = (0..6).filter_map(|_| self.questions.any(&self.rng)).collect();
            burst(&self.world, &asks, AFTER, &self.rng);
            tokio::time::sleep(self.rng.millis(50, 500)).await;
            self.world.ledger.begin(team.facet, Sense::Give);
            loop {
                let mut teams = TeamServiceClient::new(self.issuance());
                let request = self.by(ResumeTeamRequest { team_id: team.id.to_string() });
                match Self::attempt(teams.resume_team(request)).await {
                    Ok(_) => break,
                    Err(failure) if unknown(&failure) => self.again().await,
                    Err(failure) => panic!("resume: {failure:?}"),
                }
            }
            self.world.ledger.returned(team.facet);
        }
    }
}
