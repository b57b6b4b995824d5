//! What a cluster stands on and how it is cut into processes. No test knows it: `CLUSTER_SHAPE`
//! says which for a whole run.
//!
//! - `embedded` (or nothing): one process on SQLite and memory;
//! - `servers`: one process on Postgres and Redis, which the harness starts;
//! - `services`: each role a process of its own, on Postgres and Redis;
//! - `replicas`: two processes of each role;
//! - `compose`: docker-compose.yml, which `tests/compose` has started.

use std::{net::SocketAddr, path::PathBuf};

use keystile_testkit::{Postgres, Redis, postgres::DURABLE_ROLES};

const USERS: &str = include_str!("../../deploy/redis/users.acl");
/// The password of every login to servers that only one test can reach, and its SHA-256.
const PASSWORD: &str = "private";
const PASSWORD_SHA256: &str = "715dc8493c36579a5b116995100f635e3572fdf8703e708ef1a08d943b36774e";

/// How a run is cut into processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Embedded,
    Servers,
    /// So many processes of each role.
    Services(usize),
    Compose,
}

impl Shape {
    /// What the run asks for.
    #[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the run's own")]
    pub(crate) fn of_run() -> Self {
        match std::env::var("CLUSTER_SHAPE").as_deref() {
            Err(_) | Ok("embedded") => Self::Embedded,
            Ok("servers") => Self::Servers,
            Ok("services") => Self::Services(1),
            Ok("replicas") => Self::Services(2),
            Ok("compose") => Self::Compose,
            Ok(other) => panic!(
                "CLUSTER_SHAPE is {other}: there are embedded, servers, services, replicas, compose"
            ),
        }
    }
}

/// A private Postgres and Redis with the logins that deploy ships.
pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let postgres = Postgres::start();
        postgres.make_shipped_logins(PASSWORD);
        let users = USERS.replace("#PASSWORD_SHA256", &format!("#{PASSWORD_SHA256}"));
        let users = users.lines().filter(|line| line.starts_with("user "));
        // Legible, for who searches what is stored; and a user who may make it be stored, or
        // emptied.
        let own = ["rdbcompression no", "user harness on nopass +save +flushall"];
        let redis = Redis::start(&users.chain(own).collect::<Vec<_>>());
        Self { postgres, redis }
    }

    /// Has Redis carry out a command of its operator.
    fn operate_redis(&self, command: &str) {
        let harness = ["--user", "harness", "--pass", "", "--no-auth-warning", command];
        assert_eq!(self.redis.cli(&harness).as_deref(), Some("OK\n"));
    }

    /// Empties the cache.
    pub(crate) fn flush(&self) {
        self.operate_redis("flushall");
    }

    /// Where they keep what they were told, written out.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.operate_redis("save");
        vec![self.postgres.folder().to_owned(), self.redis.folder().to_owned()]
    }

    /// The database of each durable role.
    pub(crate) fn databases(&self) -> impl Iterator<Item = (&'static str, String)> {
        DURABLE_ROLES.into_iter().map(|role| (role, self.postgres.url_of(role, PASSWORD)))
    }

    /// The cache.
    pub(crate) fn cache(&self) -> String {
        Self::cache_at(self.redis.address())
    }

    /// A cache at this address.
    pub(crate) fn cache_at(address: SocketAddr) -> String {
        format!("redis://keystile:{PASSWORD}@{address}")
    }

    /// Where Redis listens.
    pub(crate) fn redis_address(&self) -> SocketAddr {
        self.redis.address()
    }
}
