//! L2 in a real Redis that is absent, hangs, is emptied, restarted, tampered with or made to repeat
//! itself: each costs look-ups, one a key, and never a verdict.
//!
//! Redis answers on real time, so tokio's is not paused here. Leases count on the clock that only
//! the tests move.

use std::{sync::Arc, time::Duration};

use keystile_cache::{
    L2,
    redis::{Redis, Settings},
};
use keystile_domain::{
    facts::KeyStatus,
    log::ChangeKind,
    token::{Digest, Kid},
};
use keystile_testkit::{Redis as Server, eventually};
use keystile_verification::{Config, Counts};

use crate::Rig;

const KEYS: usize = 20;
const HOUR: Duration = Duration::from_hours(1);
/// Failures in a row that open the breaker.
const FAILURES: usize = 5;
/// How long it then stays open.
const PAUSE: Duration = Duration::from_secs(1);

/// An installation whose nodes share a Redis.
struct World {
    server: Server,
    first: Rig,
    cache: Arc<Redis>,
    keys: Vec<Key>,
}

struct Key {
    kid: Kid,
    token: String,
    digest: Digest,
}

impl World {
    /// Every second key is disabled. Nobody has asked for one yet.
    async fn new(server: Server) -> Self {
        let installation = Rig::without_lease(Config::default());
        installation.issuance.log.state().several = true;
        let (first, cache) = node(&installation, &server).await;
        let keys = (0..KEYS).map(|at| {
            let status = if at % 2 == 0 { KeyStatus::Active } else { KeyStatus::Disabled };
            let (kid, token) = first.issuance.create(|facts| facts.status = status);
            let digest = first.issuance.ring.authenticate(&token).expect("genuine").digest;
            Key { kid, token, digest }
        });
        let keys = keys.collect();
        first.issuance.barrier().await;
        Self { server, first, cache, keys }
    }

    /// With every key proved by the first node and kept in Redis.
    async fn filled() -> Self {
        let world = Self::new(Server::start(&[])).await;
        eventually("connected", async || world.cache.answers()).await;
        assert_eq!(world.costs(&world.first).await, KEYS);
        eventually("kept", async || world.kept().await.iter().all(Option::is_some)).await;
        world
    }

    /// Another node, connected.
    async fn another(&self) -> Rig {
        let (node, cache) = node(&self.first, &self.server).await;
        eventually("connected", async || cache.answers()).await;
        node
    }

    /// What Redis holds of each key.
    async fn kept(&self) -> Vec<Option<Arc<[u8]>>> {
        let mut kept = Vec::new();
        for key in &self.keys {
            kept.push(self.cache.get(&key.digest).await);
        }
        kept
    }

    async fn put(&self, key: &Key, value: &[u8]) {
        self.cache.put(&key.digest, value.into(), HOUR).await;
    }

    /// Asks `node` about every key, twice, gets the truth each time, and says how many look-ups that
    /// took: of one key at most one.
    async fn costs(&self, node: &Rig) -> usize {
        let before = node.lookups();
        for key in &self.keys {
            let truth = match node.issuance.state().keys[&key.kid].status {
                KeyStatus::Active => "allowed",
                KeyStatus::Disabled => "disabled",
                KeyStatus::Revoked => "revoked",
            };
            let asked = node.lookups();
            assert_eq!(node.verdict(&key.token).await, Ok(truth));
            assert!(node.lookups() <= asked + 1, "more than a look-up for a miss");
            let known = node.counts();
            assert_eq!(node.verdict(&key.token).await, Ok(truth));
            assert_eq!(node.counts(), known, "L1 has it now");
        }
        let costs = node.lookups() - before;
        usize::try_from(costs).expect("few")
    }
}

/// Another node of `rig`'s installation, with a lease, and its way to Redis.
async fn node(rig: &Rig, server: &Server) -> (Rig, Arc<Redis>) {
    let settings =
        Settings { url: server.url().into(), ca: None, timeout: Duration::from_millis(500) };
    let cache = Arc::new(Redis::new(&settings, Arc::new(rig.clock.clone())).expect("valid"));
    (rig.behind(Arc::clone(&cache) as _).running().await, cache)
}

/// Does a fresh node find everything in Redis?
async fn node_costs_nothing(world: &World) -> bool {
    let node = world.another().await;
    world.costs(&node).await == 0
}

/// How many commands of that name the server was given.
fn calls(server: &Server, command: &str) -> usize {
    let stats = server.cli(&["info", "commandstats"]).expect("answers");
    let named = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&named));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn what_is_in_redis_costs_other_nodes_nothing() {
    let world = World::filled().await;
    let node = world.another().await;
    assert_eq!(world.costs(&node).await, 0);
    assert_eq!(node.counts(), Counts { cache_misses: KEYS as u64, lookups: 0, hashes: 0 });
}

#[tokio::test]
async fn an_absent_redis_costs_a_look_up_a_key_until_it_is_there() {
    let mut server = Server::start(&[]);
    server.stop();
    let mut world = World::new(server).await;
    assert_eq!(world.costs(&world.first).await, KEYS);
    world.server.resume();
    let node = world.another().await;
    assert_eq!(world.costs(&node).await, KEYS, "nothing was kept");
    eventually("kept", async || node_costs_nothing(&world).await).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_asked_a_few_times_and_then_not_at_all() {
    let world = World::filled().await;
    let (node, cache) = node(&world.first, &world.server).await;
    eventually("connected", async || cache.answers()).await;
    let before = calls(&world.server, "get") + calls(&world.server, "set");
    world.server.freeze();
    assert_eq!(world.costs(&node).await, KEYS);
    assert!(!cache.answers());
    world.server.thaw();
    let asked = calls(&world.server, "get") + calls(&world.server, "set") - before;
    // Of every key once to read and once to write without the breaker. A write is under way beside
    // the next read.
    assert!(asked <= FAILURES + 2, "{asked} commands to a Redis that hangs");
    world.first.clock.advance(PAUSE);
    for node in [&world.first, &node] {
        node.renewed().await;
    }
    assert_eq!(world.kept().await.iter().flatten().count(), KEYS);
    assert!(node_costs_nothing(&world).await, "it is used again");
}

#[tokio::test]
async fn an_emptied_redis_costs_a_look_up_a_key_and_is_filled_again() {
    let world = World::filled().await;
    assert_eq!(world.server.cli(&["flushall"]).as_deref(), Some("OK\n"));
    assert_eq!(world.costs(&world.first).await, 0, "L1 has them");
    let node = world.another().await;
    assert_eq!(world.costs(&node).await, KEYS);
    eventually("kept", async || world.kept().await.iter().all(Option::is_some)).await;
    assert!(node_costs_nothing(&world).await);
}

#[tokio::test]
async fn a_redis_that_restarts_costs_a_look_up_a_key_and_is_used_again() {
    let mut world = World::filled().await;
    let node = world.another().await;
    world.server.stop();
    assert_eq!(world.costs(&node).await, KEYS);
    world.server.resume();
    let node = world.another().await;
    assert_eq!(world.costs(&node).await, KEYS, "it came back empty");
    eventually("filled again", async || node_costs_nothing(&world).await).await;
}

#[tokio::test]
async fn a_redis_that_repeats_what_it_held_before_a_cut_is_not_believed() {
    let world = World::filled().await;
    let before = world.kept().await;
    for key in &world.keys[..KEYS / 2] {
        let revoke = |facts: &mut keystile_domain::facts::KeyFacts| {
            facts.status = KeyStatus::Revoked;
        };
        world.first.issuance.change(key.kid, ChangeKind::KeyRevoked, revoke);
    }
    world.first.issuance.barrier().await;
    let node = world.another().await;
    for node in [&world.first, &node] {
        for (key, value) in world.keys.iter().zip(&before) {
            world.put(key, value.as_deref().expect("kept")).await;
        }
        assert_eq!(world.costs(node).await, KEYS / 2, "those that were cut");
    }
}

#[tokio::test]
async fn a_redis_that_is_tampered_with_is_not_believed() {
    let world = World::filled().await;
    let kept: Vec<_> = world.kept().await.into_iter().flatten().collect();
    let flipped = |at: usize| {
        let mut value = kept[at].to_vec();
        let place = at * value.len() / KEYS;
        value[place] ^= 1;
        value
    };
    let tampered: [&dyn Fn(usize) -> Vec<u8>; 5] = [
        &flipped,
        &|at| kept[(at + 1) % KEYS].to_vec(),
        &|at| kept[at][..kept[at].len() / 2].to_vec(),
        &|_| Vec::new(),
        &|at| vec![u8::try_from(at).expect("few"); 300],
    ];
    for (how, value) in tampered.iter().enumerate() {
        for (at, key) in world.keys.iter().enumerate() {
            world.put(key, &value(at)).await;
        }
        let node = world.another().await;
        assert_eq!(world.costs(&node).await, KEYS, "way {how}");
    }
}
