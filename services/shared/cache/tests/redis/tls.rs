//! Redis over TLS, with the CA that signed its certificate, and with others.

use std::fs;

use keystile_cache::{L2 as _, conformance};
use keystile_testkit::{Authority, MockClock, Redis as Server, eventually};

use crate::{HOUR, digest, opened, pass, reached, value};

const USER: &str = "user cache on >secret ~* +@all";

#[tokio::test]
async fn it_conforms_with_a_password() {
    let authority = Authority::new();
    let server = Server::start_with(&[USER], Some(&authority));
    let url = server.url_of("cache", "secret");
    let redis = reached(&url, Some(&authority), &MockClock::default()).await;
    conformance::check(&redis, pass).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_one_meant_is_a_miss() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start_with(&[USER], Some(&authority));
    let right = server.url_of("cache", "secret");
    let named = right.replace("127.0.0.1", "localhost");
    for (what, url, ca) in [
        ("another CA", &right, Some(&other)),
        ("the CAs that browsers trust", &right, None),
        ("another name", &named, Some(&authority)),
        ("no TLS", &right.replace("rediss:", "redis:"), None),
        ("another password", &server.url_of("cache", "another"), Some(&authority)),
    ] {
        let before = refusals(&server);
        let redis = opened(url, ca, &MockClock::default());
        eventually(what, async || refusals(&server) > before).await;
        redis.put(&digest(1), value(), HOUR).await;
        assert_eq!(redis.get(&digest(1)).await, None, "{what}");
        assert!(!redis.answers(), "{what}");
    }
}

/// How many connections came to nothing, by what the server says.
fn refusals(server: &Server) -> usize {
    let log = fs::read_to_string(server.folder().join("log")).expect("a log");
    let handshakes = log.matches("Error accepting a client connection").count();
    let passwords = server.cli(&["acl", "log"]).expect("answers").matches("reason").count();
    handshakes + passwords
}
