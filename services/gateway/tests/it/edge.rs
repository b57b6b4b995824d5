//! The edge around every route: bombs (threat 31), methods, headers of answers, health.

use keystile_contract::Failure;
use keystile_domain::ErrorKind;

use crate::support::{ECHO, TOKEN, World};

/// The head of a gzip stream. What it would grow to is never found out.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0";

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\nx-api-key: {TOKEN}\r\n\
         content-type: application/json\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_bomb_costs_its_sender_and_runs_nothing() {
    let world = World::new().await;
    let mebibyte = 1024 * 1024;
    let huge = " ".repeat(mebibyte + 1);
    let sized = |body: &[u8]| request(&format!("content-length: {}\r\n", body.len()), body);
    let chunked = format!("{:x}\r\n{huge}\r\n0\r\n\r\n", huge.len());
    let deep = format!(r#"{{"inputs":{{"message":{}"#, "[".repeat(500_000));
    let wide = format!(r#"{{"inputs":{{{}"x":1}}}}"#, r#""x":1,"#.repeat(100_000));
    let gzip = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", GZIP.len());
    let header = format!("x-long: {}\r\ncontent-length: 2\r\n", "a".repeat(20_000));
    let many = "x-many: 1\r\n".repeat(100);
    for (name, bytes, expected) in [
        ("announced", request("content-length: 9999999999\r\n", b""), (413, "body_too_large")),
        ("sent", sized(huge.as_bytes()), (413, "body_too_large")),
        (
            "chunked",
            request("transfer-encoding: chunked\r\n", chunked.as_bytes()),
            (413, "body_too_large"),
        ),
        ("deep", sized(deep.as_bytes()), (400, "invalid_json")),
        ("wide", sized(wide.as_bytes()), (400, "invalid_json")),
        ("gzip", request(&gzip, GZIP), (415, "unsupported_media_type")),
        ("long header", request(&header, b"{}"), (431, "headers_too_large")),
        (
            "many headers",
            request(&(many + "content-length: 2\r\n"), b"{}"),
            (431, "headers_too_large"),
        ),
    ] {
        let answer = world.raw(&bytes).await;
        assert_eq!(answer.status, expected.0, "{name}");
        // What breaks hyper's own bounds is answered by it, without a document.
        if !answer.body.is_empty() {
            assert_eq!(answer.code(), expected.1, "{name}");
        }
    }
    let long = world.get(&format!("/api/v1/me?{}", "a".repeat(9000))).await;
    assert_eq!((long.status, &*long.code()), (414, "uri_too_long"));
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn methods_are_answered_as_a_client_expects() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let key = [("authorization", &*bearer)];
    let head = world.send("HEAD", "/api/v1/me", &key, "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for (path, allow) in [("/api/v1/me", "GET,HEAD"), (ECHO, "POST"), ("/docs", "GET,HEAD")] {
        let answer = world.send("DELETE", path, &key, "").await;
        assert_eq!((answer.status, &*answer.code()), (405, "method_not_allowed"));
        assert_eq!(answer.header("allow"), Some(allow));
        let answer = world.send("OPTIONS", path, &[("origin", "https://evil.example")], "").await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)));
        assert!(answer.body.is_empty());
        let cors = |(name, _): &(String, String)| name.starts_with("access-control");
        assert!(!answer.headers.iter().any(cors));
    }
    assert_eq!(world.send("OPTIONS", "/nothing", &[], "").await.status, 404);
    assert_eq!(world.get("/nothing").await.code(), "not_found");
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_security_headers() {
    let world = World::new().await;
    for path in ["/api/v1/me", "/nothing", "/openapi.json", "/docs/", "/healthz", "/readyz"] {
        let answer = world.send("GET", path, &[("x-request-id", "mine-1")], "").await;
        assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
    }
}

#[tokio::test]
async fn it_is_ready_while_verification_answers() {
    let world = World::new().await;
    assert_eq!(world.send("GET", "/readyz", &[], "").await.status, 200);
    let asked = world.asked();
    assert_eq!((asked.len(), &*asked[0].question.token), (1, ""));
    world.decide(|_| Err(Failure::new(ErrorKind::Unavailable, "no_lease", "no lease").into()));
    let answer = world.send("GET", "/readyz", &[], "").await;
    assert_eq!((answer.status, &*answer.code()), (503, "not_ready"));
    assert!(world.service.ready().await.is_err());
    assert_eq!(world.send("GET", "/healthz", &[], "").await.status, 200);
}
