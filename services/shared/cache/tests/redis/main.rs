//! L2 against a real Redis, which is stopped, restarted, filled and paused under it.

mod cluster;
mod tls;
mod user;

use std::{sync::Arc, time::Duration};

use keystile_cache::{
    L2, conformance,
    redis::{Error, Redis, Settings},
};
use keystile_domain::token::Digest;
use keystile_testkit::{Authority, MockClock, Redis as Server, eventually};

const TIMEOUT: Duration = Duration::from_millis(500);
/// How long the breaker holds calls back.
const PAUSE: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn settings(url: &str) -> Settings {
    Settings { url: url.into(), ca: None, timeout: TIMEOUT }
}

/// Without waiting for anybody to answer; over TLS with that CA.
fn opened(url: &str, ca: Option<&Authority>, clock: &MockClock) -> Redis {
    let ca = ca.map(|authority| authority.pem().into_bytes());
    let settings = Settings { ca, ..settings(url) };
    Redis::new(&settings, Arc::new(clock.clone())).expect("valid")
}

async fn reached(url: &str, ca: Option<&Authority>, clock: &MockClock) -> Redis {
    let redis = opened(url, ca, clock);
    eventually("connected", async || redis.answers()).await;
    redis
}

async fn connected(server: &Server, clock: &MockClock) -> Redis {
    reached(&server.url(), None, clock).await
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
    let redis = opened(&server.url(), None, &clock);
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
        clock.advance(PAUSE);
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
        clock.advance(PAUSE);
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
