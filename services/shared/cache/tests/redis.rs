//! L2 against a real Redis, which is stopped, restarted, filled and paused under it.

use std::{sync::Arc, time::Duration};

use keystile_cache::{
    L2, conformance,
    redis::{Error, Redis, Settings},
};
use keystile_domain::token::Digest;
use keystile_testkit::{MockClock, Redis as Server, eventually};

const TIMEOUT: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_hours(1);

fn settings(url: &str) -> Settings {
    Settings { url: url.into(), ca: None, timeout: TIMEOUT }
}

async fn connected(server: &Server, clock: &MockClock) -> Redis {
    let redis = Redis::new(&settings(&server.url()), Arc::new(clock.clone())).expect("valid");
    eventually("connected", async || redis.answers()).await;
    redis
}

/// Redis counts on a clock of its own, in whole milliseconds that it may read a little late.
async fn pass(by: Duration) {
    tokio::time::sleep(by + Duration::from_millis(50)).await;
}

fn digest(id: u8) -> Digest {
    Digest::from_bytes([id; 32])
}

fn value() -> Arc<[u8]> {
    Arc::from(*b"value")
}

#[tokio::test]
async fn it_conforms() {
    let server = Server::start(&[]);
    let redis = connected(&server, &MockClock::default()).await;
    conformance::check(&redis, pass).await;
}

#[tokio::test]
async fn a_server_that_is_absent_costs_misses_and_is_used_once_it_is_there() {
    let mut server = Server::start(&[]);
    server.stop();
    let clock = MockClock::default();
    let redis = Redis::new(&settings(&server.url()), Arc::new(clock.clone())).expect("valid");
    redis.put(&digest(1), value(), HOUR).await;
    assert_eq!(redis.get(&digest(1)).await, None);
    assert!(!redis.answers());
    server.resume();
    eventually("connected", async || redis.answers()).await;
    redis.put(&digest(1), value(), HOUR).await;
    assert_eq!(redis.get(&digest(1)).await, Some(value()));
}

#[tokio::test]
async fn a_server_that_dies_costs_misses_and_is_used_again_once_it_is_back() {
    let mut server = Server::start(&[]);
    let clock = MockClock::default();
    let redis = connected(&server, &clock).await;
    redis.put(&digest(1), value(), HOUR).await;
    server.stop();
    eventually("it is given up", async || {
        assert_eq!(redis.get(&digest(1)).await, None);
        !redis.answers()
    })
    .await;
    server.resume();
    eventually("it is used again", async || {
        clock.advance(Duration::from_secs(1));
        redis.put(&digest(1), value(), HOUR).await;
        redis.get(&digest(1)).await == Some(value())
    })
    .await;
    assert!(redis.answers());
}

#[tokio::test]
async fn a_server_that_hangs_is_asked_five_times_and_then_left_alone() {
    let server = Server::start(&[]);
    let clock = MockClock::default();
    let settings = Settings { timeout: Duration::from_millis(5), ..settings(&server.url()) };
    let redis = Redis::new(&settings, Arc::new(clock.clone())).expect("valid");
    eventually("connected", async || redis.answers()).await;
    server.freeze();
    for _ in 0..5 {
        assert!(redis.answers());
        assert_eq!(redis.get(&digest(1)).await, None);
    }
    assert!(!redis.answers());
    server.thaw();
    eventually("it is used again", async || {
        clock.advance(Duration::from_secs(1));
        redis.put(&digest(1), value(), HOUR).await;
        redis.get(&digest(1)).await == Some(value())
    })
    .await;
}

#[tokio::test]
async fn a_full_server_refuses_to_keep_and_still_answers() {
    let server = Server::start(&["maxmemory 1", "maxmemory-policy noeviction"]);
    let redis = connected(&server, &MockClock::default()).await;
    for _ in 0..10 {
        redis.put(&digest(1), value(), HOUR).await;
        assert!(redis.answers());
    }
    assert_eq!(redis.get(&digest(1)).await, None, "there is no room at all");
}

#[tokio::test]
async fn the_user_that_deploy_ships_can_cache_and_nothing_else() {
    const USERS: &str = include_str!("../../../../deploy/redis/users.acl");
    // SHA-256 of "secret".
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let rules = USERS.lines().filter(|line| line.starts_with("user ")).map(|line| {
        // Whoever asks for the rest of this test stays in.
        line.replace("PASSWORD_SHA256", HASH).replace("user default off", "user default on nopass")
    });
    // Else the server refuses that to everybody.
    let rules: Vec<_> = rules.chain(["enable-debug-command local".to_owned()]).collect();
    let server = Server::start(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let url = server.url_of("keystile", "secret");
    let redis = Redis::new(&settings(&url), Arc::new(MockClock::default())).expect("valid");
    eventually("connected", async || redis.answers()).await;
    conformance::check(&redis, pass).await;
    for command in [
        &["flushall"][..],
        &["flushdb"],
        &["config", "get", "*"],
        &["config", "set", "maxmemory", "1"],
        &["script", "load", "return 1"],
        &["eval", "return 1", "0"],
        &["function", "list"],
        &["keys", "*"],
        &["scan", "0"],
        &["monitor"],
        &["client", "list"],
        &["client", "kill", "id", "1"],
        &["acl", "list"],
        &["debug", "sleep", "0"],
        &["shutdown"],
        &["replicaof", "no", "one"],
        &["get", "another's"],
        &["set", "another's", "1"],
        &["subscribe", "ks:"],
    ] {
        let login = ["--user", "keystile", "--pass", "secret", "--no-auth-warning"];
        let told = server.cli(&[&login[..], command].concat()).expect("answers");
        assert!(told.starts_with("NOPERM"), "{command:?}: {told}");
    }
}

#[test]
fn a_url_of_something_else_is_refused_and_not_repeated() {
    for url in ["", "localhost:6379", "http://canary@localhost", "redis://", "memory://x"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _entered = runtime.as_ref().expect("a runtime").enter();
        let refused = Redis::new(&settings(url), Arc::new(MockClock::default()));
        let refused = refused.expect_err(url);
        assert_eq!(refused, Error::Url);
        assert!(!refused.to_string().contains("canary"));
    }
}
