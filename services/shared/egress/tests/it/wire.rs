//! What a failure says about what left, and the trace that goes along.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get as on_get};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use keystile_egress::{Allow, Client, Credential, Error, Policy, Request};

use crate::support::{Upstream, client, get, only};

/// A server that reads one request of each connection and answers it so.
fn raw(answers: &'static [&'static [u8]]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\nbody") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            seen.fetch_add(1, Ordering::SeqCst);
            stream.write_all(answer).unwrap();
        }
    });
    (address, requests)
}

fn to(address: SocketAddr) -> Client {
    let allow = Allow { sockets: vec![address], ..Allow::default() };
    client(Policy { allow, ..Policy::default() })
}

fn post(address: SocketAddr) -> Request {
    Request {
        method: Method::POST,
        body: Bytes::from_static(b"body"),
        ..get(&format!("http://{address}/"))
    }
}

async fn failure(client: &Client, request: Request) -> Error {
    client.send(request, &Credential::None).await.unwrap_err()
}

#[tokio::test]
async fn a_request_that_could_not_leave_reached_nobody() {
    let (closed, _) = raw(&[]);
    for (client, request) in [
        (to(closed), post(closed)),
        (client(Policy::default()), get("https://10.0.0.1/")),
        (client(Policy::default()), get("https://api.example.com/")),
    ] {
        assert!(failure(&client, request).await.reached_nobody());
    }
    let upstream = Upstream::start(Router::new()).await;
    let tls = get(&format!("https://{}/", upstream.address));
    assert_eq!(failure(&client(only(&[&upstream])), tls).await, Error::Tls);
    assert!(Error::Tls.reached_nobody());
}

#[tokio::test]
async fn a_request_that_left_is_not_sent_again_and_says_so() {
    let (address, requests) = raw(&[b"", b"", b""]);
    let error = failure(&to(address), post(address)).await;
    assert_eq!((error.clone(), error.reached_nobody()), (Error::Protocol, false));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_app_that_redirected_was_reached_even_if_nobody_is_there_any_more() {
    let (address, _) = raw(&[b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /next\r\n\
        connection: close\r\ncontent-length: 0\r\n\r\n"]);
    let error = failure(&to(address), post(address)).await;
    assert!(matches!(&error, Error::AfterRedirect(cause) if cause.reached_nobody()), "{error:?}");
    assert!(!error.reached_nobody());
}

#[tokio::test]
async fn the_trace_of_the_call_is_told_if_there_is_one_to_tell() {
    let echo = |headers: HeaderMap| async move {
        headers
            .get("traceparent")
            .map_or(Bytes::new(), |value| Bytes::copy_from_slice(value.as_bytes()))
    };
    let upstream = Upstream::start(Router::new().route("/", on_get(echo))).await;
    let silent = client(only(&[&upstream]));
    let telling = silent.clone().with_trace(|_, headers| {
        headers.insert("traceparent", HeaderValue::from_static("00-told"));
    });
    for (client, told) in [(silent, ""), (telling, "00-told")] {
        let answer = client.send(get(&upstream.url("/")), &Credential::None).await.unwrap();
        assert_eq!(answer.body.bytes_limited(100).await.unwrap(), told);
    }
}
