//! The installation: two processes of issuance on one database, three of verification, Redis.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use keystile_contract::{Identity, SealKeys, Transport, transport};
use keystile_domain::{
    ComponentId, KeyId, Role, TeamId, facts::Request as Use, token::TokenKeyRing,
};
use keystile_issuance as issuance;
use keystile_testkit::SeededEntropy;
use keystile_verification::{self as verification, Answer, Question};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::{
    clock::{DRIFT_PPM, Lie, SimClock, following},
    counts::{Counts, What},
    l2::{Cache, Redis},
    ledger::{Asked, Facet, Ledger, Moment, Verdict},
    net::{Endpoint, Heard, Link, balanced},
    plan::Plan,
    process::Process,
    proxy::twisted,
    rng::{Rng, Streams},
    store::{Database, SimStore, Way},
    twins::Twin,
};

pub(crate) const SEALING: [(u32, [u8; 32]); 1] = [(1, [5; 32])];
/// L.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// ε.
pub(crate) const MARGIN: Duration = Duration::from_millis(10);
pub(crate) const ISSUERS: usize = 2;
pub(crate) const VERIFIERS: usize = 3;

fn ring() -> TokenKeyRing {
    TokenKeyRing::new([(1, [7; 32])]).expect("a ring")
}

/// One machine of issuance.
struct Issuer {
    clock: SimClock,
    process: Mutex<Process>,
    /// As verifiers reach it, and as the console does.
    ends: [Endpoint; 2],
}

/// One machine of verification.
struct Verifier {
    clock: SimClock,
    running: Mutex<Option<(Process, verification::Service)>>,
    links: Vec<Arc<Link>>,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) counts: Counts,
    pub(crate) database: Arc<Database>,
    pub(crate) redis: Arc<Redis>,
    rng: Rng,
    issuers: Vec<Issuer>,
    verifiers: Vec<Verifier>,
    /// The console's ways to issuance.
    pub(crate) console: Vec<Transport>,
}

/// A question, and what its answer depends on.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) team: TeamId,
    pub(crate) key: KeyId,
    pub(crate) token: String,
    pub(crate) component: Option<ComponentId>,
    pub(crate) facets: Vec<Facet>,
    pub(crate) what: String,
}

/// Tells the ledger of a node's calls.
struct Calls {
    ledger: Arc<Ledger>,
    node: usize,
}

impl Heard for Calls {
    fn sent(&self) -> Moment {
        self.ledger.moment()
    }

    fn answered(&self, path: &str, sent: Moment) {
        if path.ends_with("/Renew") {
            self.ledger.renewed(self.node, sent);
        } else if path.ends_with("/Lookup") {
            self.ledger.looked_up(self.node);
        }
    }
}

/// Nobody listens to the console's calls.
struct Unheard;

impl Heard for Unheard {
    fn sent(&self) -> Moment {
        0
    }

    fn answered(&self, _: &str, _: Moment) {}
}

/// A vault that finds every grant in order: an empty answer.
fn vault() -> Transport {
    transport::remote(tower::service_fn(|_: http::Request<Body>| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let body = Full::new(Bytes::from_static(&[0; 5]))
            .with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))));
        let mut response = http::Response::new(Body::new(body));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        Ok::<_, Infallible>(response)
    }))
}

impl World {
    pub(crate) async fn new(plan: Plan, seed: &Rng, counts: Counts) -> Arc<Self> {
        let database = Database::new();
        let clock = |label, skew, lie, issues: bool| {
            let drawn = SimClock::drawn(&seed.fork(label), skew, lie);
            if plan.opposed { drawn.extreme(issues) } else { drawn }
        };
        let issuers: Vec<_> = (0..ISSUERS as u64)
            .map(|number| Issuer {
                clock: clock(number, plan.skew, Lie::None, true),
                process: Mutex::new(Process::start()),
                ends: [Endpoint::down(), Endpoint::down()],
            })
            .collect();
        let link = |label, end: &Endpoint| {
            Link::new(seed.fork(label), plan.noise, plan.distance, counts.clone(), end.clone())
        };
        let reached = if plan.one_answers { 1 } else { ISSUERS };
        let lie = plan.twin.map_or(Lie::None, Twin::lie);
        let verifiers = (0..VERIFIERS as u64)
            .map(|number| Verifier {
                clock: clock(100 + number, 2, lie, false),
                running: Mutex::default(),
                links: issuers[..reached].iter().map(|issuer| link(200, &issuer.ends[0])).collect(),
            })
            .collect();
        let near = |issuer: &Issuer| {
            let end = issuer.ends[1].clone();
            let link = Link::new(seed.fork(300), plan.noise, Duration::ZERO, counts.clone(), end);
            balanced(vec![link], Process::start(), seed.fork(301), Arc::new(Unheard))
        };
        let world = Arc::new(Self {
            plan,
            ledger: Arc::new(Ledger::new(counts.clone(), VERIFIERS)),
            redis: Redis::new(counts.clone(), Arc::clone(&database), plan.twin),
            rng: seed.fork(500),
            console: issuers.iter().map(near).collect(),
            counts,
            database,
            issuers,
            verifiers,
        });
        for number in 0..ISSUERS {
            world.start_issuer(number).await;
        }
        for number in 0..VERIFIERS {
            let late = if number == 0 { 0 } else { seed.below(plan.joining) };
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(late)).await;
                world.start_verifier(number);
            });
        }
        world
    }

    /// The process of issuance that runs on a machine now.
    pub(crate) fn issuer(&self, number: usize) -> Process {
        self.issuers[number].process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What changes when a process of issuance, or the database, does not go on as it did; `None` if
    /// it does not now, or if one request is served twice.
    pub(crate) fn undisturbed(&self, issuer: usize) -> Option<(u64, u64)> {
        let process = self.issuer(issuer);
        let seen = (process.pauses(), self.database.generation());
        (process.is_running() && self.plan.noise.twice == 0).then_some(seen)
    }

    pub(crate) fn links(&self, verifier: usize) -> &[Arc<Link>] {
        &self.verifiers[verifier].links
    }

    pub(crate) fn verifier(&self, number: usize) -> Option<(Process, verification::Service)> {
        let running = &self.verifiers[number].running;
        running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn start_issuer(&self, number: usize) {
        let issuer = &self.issuers[number];
        let process = Process::start();
        *issuer.process.lock().unwrap_or_else(PoisonError::into_inner) = process.clone();
        let twin = self.plan.twin;
        let exact = twin == Some(Twin::DriftMargin);
        let config = issuance::Config {
            lease_ttl_ms: u64::try_from(LEASE.as_millis()).unwrap_or(0),
            renew_interval_ms: 250,
            drift_ppm: if exact { 1_000 } else { DRIFT_PPM },
            margin_ms: u64::try_from(MARGIN.as_millis()).unwrap_or(0),
            cut_timeout_ms: 3_000,
            ..issuance::Config::default()
        };
        let service = loop {
            let way = Way {
                process: process.clone(),
                rng: Streams::new(self.rng.fork(1)),
                troubles: self.plan.troubles,
                counts: self.counts.clone(),
            };
            let (database, way) = (Arc::clone(&self.database), Arc::new(way));
            let deps = issuance::Deps {
                clock: Arc::new(issuer.clock),
                entropy: Arc::new(SeededEntropy::new(self.rng.next())),
                seal_keys: SealKeys::derive(Role::Issuance, &SEALING),
                token_keys: ring(),
                vault: vault(),
                store: Arc::new(SimStore { database, way, twin }),
            };
            match process.run(issuance::build(config.clone(), deps)).await {
                Some(Ok(service)) => break service,
                Some(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                None => return,
            }
        };
        let (running, alive) = (service.clone(), process.clone());
        tokio::spawn(async move { alive.run(running.run(CancellationToken::new())).await });
        let server = |role| transport::local(service.grpc().prepare(), Identity::Role(role));
        let plain = server(Role::Verification);
        let log = match twin {
            Some(twin) => twisted(twin, plain, Arc::clone(&self.database), self.rng.fork(2)),
            None => plain,
        };
        issuer.ends[0].set(Some((process.clone(), log)));
        issuer.ends[1].set(Some((process, server(Role::Console))));
    }

    pub(crate) fn kill_issuer(&self, number: usize) {
        let issuer = &self.issuers[number];
        self.issuer(number).kill();
        for end in &issuer.ends {
            end.set(None);
        }
    }

    pub(crate) fn start_verifier(&self, number: usize) {
        let verifier = &self.verifiers[number];
        let process = Process::start();
        let calls = Calls { ledger: Arc::clone(&self.ledger), node: number };
        let links = verifier.links.clone();
        let deps = verification::Deps {
            clock: Arc::new(verifier.clock),
            entropy: Arc::new(SeededEntropy::new(self.rng.next())),
            seal_keys: SealKeys::derive(Role::Verification, &SEALING),
            token_keys: ring(),
            issuance: balanced(links, process.clone(), self.rng.fork(3), Arc::new(calls)),
            l2: Arc::new(Cache {
                redis: Arc::clone(&self.redis),
                process: process.clone(),
                rng: Streams::new(self.rng.fork(4)),
            }),
        };
        let config = verification::Config {
            l1_bytes: 1 << 20,
            negative_entries: 1_000,
            hash_workers: Some(1),
            ..verification::Config::default()
        };
        let service = verification::build(config, deps).expect("valid");
        let (running, alive) = (service.clone(), process.clone());
        tokio::spawn(async move {
            alive.run(following(running.run(CancellationToken::new()))).await;
        });
        self.ledger.restarted(number);
        *verifier.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((process, service));
    }

    pub(crate) fn kill_verifier(&self, number: usize) {
        let running = &self.verifiers[number].running;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((process, _)) = running {
            process.kill();
        }
    }

    /// Asks a verifier, and judges its answer.
    pub(crate) async fn verify(&self, node: usize, ask: &Ask) {
        let Some((process, service)) = self.verifier(node) else { return };
        let alone = service.lease_left().is_zero();
        let asked = Asked {
            node,
            team: ask.team,
            key: ask.key,
            facets: ask.facets.clone(),
            what: ask.what.clone(),
            alone_since: alone.then(|| self.ledger.answers(node)),
            begun: self.ledger.moment(),
        };
        let request = Use { component: ask.component.as_ref(), ..Use::default() };
        let question = Question { token: &ask.token, request, at_least: None };
        let verdict = match process.run(service.verifier().verify(&question)).await {
            Some(Ok(Answer::Allowed(allowed))) => {
                Verdict::Allowed(allowed.facts().team, allowed.facts().key)
            }
            Some(Ok(Answer::Refused(refused))) => Verdict::Refused(refused.reason.code()),
            Some(Err(_)) => Verdict::Unavailable,
            // Nobody hears an answer of a process that died.
            None => return,
        };
        self.ledger.answered(&asked, &verdict);
    }

    pub(crate) fn count(&self, what: What) {
        self.counts.one(what);
    }
}
