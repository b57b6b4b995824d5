//! What a cluster stands on. No test knows it: `CLUSTER_SHAPE` says which for a whole run.
//!
//! - `embedded` (or nothing): one process on SQLite and memory;
//! - `servers`: one process on Postgres and Redis, which the harness starts.

use std::path::PathBuf;

use keystile_testkit::{Postgres, Redis, postgres::DURABLE_ROLES};

const USERS: &str = include_str!("../../deploy/redis/users.acl");
/// The password of every login to servers that only one test can reach, and its SHA-256.
const PASSWORD: &str = "private";
const PASSWORD_SHA256: &str = "715dc8493c36579a5b116995100f635e3572fdf8703e708ef1a08d943b36774e";
/// 32 bytes, as the configuration spells them.
const KEY: &str = "1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// The servers of one cluster.
pub(crate) enum Shape {
    Embedded,
    Servers { postgres: Box<Postgres>, redis: Box<Redis> },
}

impl Shape {
    /// Starts what the run asks for.
    #[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the run's own")]
    pub(crate) fn start() -> Self {
        match std::env::var("CLUSTER_SHAPE").as_deref() {
            Err(_) | Ok("embedded") => Self::Embedded,
            Ok("servers") => Self::servers(),
            Ok(other) => panic!("CLUSTER_SHAPE is {other}: there are embedded, servers"),
        }
    }

    fn servers() -> Self {
        let postgres = Postgres::start();
        postgres.make_shipped_logins(PASSWORD);
        let users = USERS.replace("#PASSWORD_SHA256", &format!("#{PASSWORD_SHA256}"));
        let users = users.lines().filter(|line| line.starts_with("user "));
        // Legible, for who searches what is stored; and a user who may make it be stored.
        let own = ["rdbcompression no", "user harness on nopass +save"];
        let redis = Redis::start(&users.chain(own).collect::<Vec<_>>());
        Self::Servers { postgres: Box::new(postgres), redis: Box::new(redis) }
    }

    /// Must the schemas be made before the first start?
    pub(crate) const fn needs_migration(&self) -> bool {
        matches!(self, Self::Servers { .. })
    }

    /// Where the servers keep what they were told, written out.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let Self::Servers { postgres, redis } = self else { return Vec::new() };
        let saved = redis.cli(&["--user", "harness", "--pass", "", "--no-auth-warning", "save"]);
        assert_eq!(saved.as_deref(), Some("OK\n"));
        vec![postgres.folder().to_owned(), redis.folder().to_owned()]
    }

    /// What the process is told of it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let Self::Servers { postgres, redis } = self else { return Vec::new() };
        let databases = DURABLE_ROLES.map(|role| {
            let variable = format!("KEYSTILE_{}__DATABASE_URL", role.to_ascii_uppercase());
            (variable, postgres.url_of(role, PASSWORD))
        });
        let keys = ["TOKEN_KEYS", "SEALING_KEYS", "KEKS"]
            .map(|name| (format!("KEYSTILE_SECRETS__{name}"), KEY.to_owned()));
        let cache = [
            ("KEYSTILE_CACHE__URL".to_owned(), redis.url_of("keystile", PASSWORD)),
            (
                "KEYSTILE_SECRETS__OPERATOR_TOKEN".to_owned(),
                "operator-token-of-one-private-test-run".to_owned(),
            ),
        ];
        databases.into_iter().chain(keys).chain(cache).collect()
    }
}
