//! The HTTP edge over real sockets: what a hostile client gets.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::HeaderMap,
    routing::{get, post},
};
use keystile_runtime::{
    Drain,
    http::{Limits, RequestId, StrictJson, harden, serve},
    lifecycle::Drained,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

fn limits() -> Limits {
    Limits {
        body_bytes: 1024,
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|id: RequestId| async move { id.to_string() }))
        .route("/notes", post(|StrictJson(note): StrictJson<Note>| async move { note.text }))
        .route("/panic", get(|| async { panic!("hunter2") as () }))
        .route("/slow", get(std::future::pending::<()>))
        .route(
            "/headers",
            get(|headers: HeaderMap| async move {
                let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
                names.sort();
                names.join(",")
            }),
        )
}

async fn start() -> (SocketAddr, Drain) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let drain = Drain::new();
    let limits = limits();
    let router = harden(router(), &limits);
    drain.spawn(serve(listener, router, drain.clone(), limits));
    (addr, drain)
}

/// Sends `bytes` and reads until the server closes or is silent for a while.
async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(Ok(n @ 1..)) =
        tokio::time::timeout(Duration::from_millis(700), stream.read(&mut chunk)).await
    {
        answer.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get_with(addr: SocketAddr, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    raw(addr, request.as_bytes()).await
}

async fn post_with(addr: SocketAddr, content_type: &str, body: &[u8]) -> String {
    let mut request = format!(
        "POST /notes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{content_type}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    raw(addr, &request).await
}

const JSON: &str = "Content-Type: application/json\r\n";

fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    let id = answer.split("x-request-id: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let id = id.expect("an id in the header");
    assert!(answer.contains(&format!("\"requestId\":\"{id}\"")), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
}

#[tokio::test]
async fn an_ordinary_request_is_answered_and_named() {
    let (addr, _drain) = start().await;
    let answer = get_with(addr, "/", "X-Request-Id: mine-1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("x-request-id: mine-1\r\n") && answer.ends_with("mine-1"), "{answer}");
    let answer = post_with(addr, JSON, br#"{"text":"hello"}"#).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn unknown_paths_methods_panics_and_delays_are_problems() {
    let (addr, _drain) = start().await;
    assert_problem(&get_with(addr, "/nowhere", "").await, 404, "not_found");
    let answer = get_with(addr, "/notes", "").await;
    assert_problem(&answer, 405, "method_not_allowed");
    assert!(answer.contains("allow: POST\r\n"), "{answer}");
    let answer = get_with(addr, "/panic", "").await;
    assert_problem(&answer, 500, "internal");
    assert!(!answer.contains("hunter2"), "{answer}");
    assert_problem(&get_with(addr, "/slow", "").await, 504, "timeout");
}

#[tokio::test]
async fn a_second_field_that_decides_who_calls_is_refused() {
    let (addr, _drain) = start().await;
    for field in ["Authorization: Bearer a", "X-API-Key: a", "Host: b", "Content-Type: a/b"] {
        let twice = format!("{field}\r\n{}\r\n", field.to_ascii_uppercase());
        assert_problem(&get_with(addr, "/", &twice).await, 400, "duplicate_header");
    }
}

#[tokio::test]
async fn hop_by_hop_and_internal_fields_do_not_reach_a_handler() {
    let (addr, _drain) = start().await;
    let answer = raw(
        addr,
        b"GET /headers HTTP/1.1\r\nHost: a\r\nConnection: close, x-secret\r\nX-Secret: 1\r\n\
          X-Keystile-Team: team_1\r\nX-KEYSTILE-Key: k\r\nTE: trailers\r\nKeep-Alive: 1\r\n\
          Proxy-Connection: a\r\nUpgrade: h2c\r\nAccept: a/b\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("\r\n\r\naccept,host"), "{answer}");
    for named in ["authorization", "X-Forwarded-For", "host", "cookie"] {
        let answer = raw(
            addr,
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, {named}\r\n\r\n").as_bytes(),
        )
        .await;
        assert_problem(&answer, 400, "invalid_connection_header");
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_431_and_long_paths_414() {
    let (addr, _drain) = start().await;
    let many = "X-Many: 1\r\n".repeat(63);
    assert_problem(&get_with(addr, "/", &many).await, 431, "headers_too_large");
    let far_too_many = "X-Many: 1\r\n".repeat(500);
    let answer = get_with(addr, "/", &far_too_many).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let large = format!("X-Large: {}\r\n", "a".repeat(16 * 1024));
    assert_problem(&get_with(addr, "/", &large).await, 431, "headers_too_large");
    let endless = format!("X-Large: {}\r\n", "a".repeat(200 * 1024));
    let answer = get_with(addr, "/", &endless).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let path = format!("/?{}", "a".repeat(8 * 1024));
    assert_problem(&get_with(addr, &path, "").await, 414, "uri_too_long");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not() {
    let (addr, _drain) = start().await;
    let huge = b"POST /notes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 10000000000\r\n\r\n";
    assert_problem(&raw(addr, huge).await, 413, "body_too_large");
    let mut chunked = b"POST /notes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n"
        .to_vec();
    chunked.extend(std::iter::repeat_n(b'[', 0x800));
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    assert_problem(&raw(addr, &chunked).await, 413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_asked_for_is_refused() {
    let (addr, _drain) = start().await;
    let good = br#"{"text":"a"}"#;
    for content_type in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/jsonp\r\n",
    ] {
        let answer = post_with(addr, content_type, good).await;
        assert_problem(&answer, 415, "unsupported_media_type");
    }
    let packed = format!("{JSON}Content-Encoding: gzip\r\n");
    let answer = post_with(addr, &packed, br#"{"text":"hello"}"#).await;
    assert_problem(&answer, 415, "unsupported_media_type");
    let utf8 = "Content-Type: Application/JSON; charset=UTF-8\r\n";
    assert!(post_with(addr, utf8, good).await.starts_with("HTTP/1.1 200 "));

    let deep = "[".repeat(500);
    for body in ["", "{", "{\"text\":\"a\",\"text\":\"b\"}", "{\"text\":\"\u{0}\"}", &deep] {
        let answer = post_with(addr, JSON, body.as_bytes()).await;
        assert_problem(&answer, 400, "invalid_json");
    }
    assert_problem(&post_with(addr, JSON, b"{\"text\":\"\xff\"}").await, 400, "invalid_json");

    // An array with a value for each member is not the object that was asked for.
    for body in ["[\"a\"]", "\"a\"", "null"] {
        let answer = post_with(addr, JSON, body.as_bytes()).await;
        assert_problem(&answer, 422, "invalid_request");
        assert!(answer.contains("must be an object"), "{answer}");
    }

    let answer = post_with(addr, JSON, br#"{"text":"a","admin":true}"#).await;
    assert_problem(&answer, 422, "invalid_request");
    assert!(
        answer.contains(r#""errors":[{"detail":"is unknown","pointer":"/admin"}]"#),
        "{answer}"
    );
}

#[tokio::test]
async fn whoever_sends_slowly_is_cut_off() {
    let (addr, _drain) = start().await;
    let starts: [&[u8]; 4] = [b"", b"PRI", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "];
    for start in starts {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        stream.write_all(start).await.expect("is read");
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        let closed = tokio::time::timeout(Duration::from_secs(5), closed).await;
        assert!(closed.is_ok(), "{}", String::from_utf8_lossy(start));
    }
    // A body that never comes is the handler's time-out.
    let stalled = format!("POST /notes HTTP/1.1\r\nHost: a\r\n{JSON}Content-Length: 9\r\n\r\n");
    assert_problem(&raw(addr, stalled.as_bytes()).await, 504, "timeout");
}

#[tokio::test]
async fn a_message_with_two_lengths_never_yields_a_second_request() {
    let (addr, _drain) = start().await;
    let smuggled = "GET /headers HTTP/1.1\r\nHost: a\r\n\r\n";
    let lengths = [
        "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
        "Transfer-Encoding: chunked\r\n",
    ];
    for length in lengths {
        let request =
            format!("POST /notes HTTP/1.1\r\nHost: a\r\n{JSON}{length}\r\n0\r\n\r\n{smuggled}");
        let answer = raw(addr, request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    for refused in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let request =
            format!("POST /notes HTTP/1.1\r\nHost: a\r\n{JSON}{refused}\r\n0\r\n\r\n{smuggled}");
        let answer = raw(addr, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{refused} {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let without_host = raw(addr, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_problem(&without_host, 400, "host_required");
}

#[tokio::test]
async fn a_drain_lets_running_requests_finish_and_takes_no_new_ones() {
    let (addr, drain) = start().await;
    let running = tokio::spawn(async move { get_with(addr, "/slow", "").await });
    let mut idle = TcpStream::connect(addr).await.expect("connects");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("is read");
    let mut chunk = [0; 4096];
    assert!(idle.read(&mut chunk).await.expect("answers") > 0);

    let drained = drain.stop(Duration::from_secs(10), std::future::pending()).await;
    assert_eq!(drained, Drained::Clean, "idle connections hold up nothing");
    assert_eq!(idle.read(&mut chunk).await.expect("closes"), 0);
    assert_problem(&running.await.expect("ends"), 504, "timeout");
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}
