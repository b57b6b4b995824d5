//! Time, size and number.

use std::{io::Read, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get as on_get, post},
};
use futures::{StreamExt, stream};
use http::Method;
use keystile_domain::ErrorKind;
use keystile_egress::{Credential, Error, Limits};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Upstream, client, get, limited, only};

async fn fetch(client: &keystile_egress::Client, url: &str) -> Result<bytes::Bytes, Error> {
    let answer = client.send(get(url), &Credential::None).await?;
    answer.body.bytes_limited(usize::MAX).await
}

/// `/plain/n` says its length, `/chunked/n` does not.
fn sized() -> Router {
    let chunked = |Path(length): Path<usize>| async move {
        let pieces = (0..length).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x")));
        Body::from_stream(stream::iter(pieces))
    };
    Router::new()
        .route(
            "/plain/{length}",
            on_get(|Path(length): Path<usize>| async move { "x".repeat(length) }),
        )
        .route("/chunked/{length}", on_get(chunked))
        .route("/echo", post(|body: Bytes| async move { body }))
}

#[tokio::test]
async fn an_answer_may_be_as_large_as_the_limit_and_no_larger() {
    let upstream = Upstream::start(sized()).await;
    let client = limited(&upstream, Limits { response_body: 1_000, ..Limits::default() });
    for kind in ["plain", "chunked"] {
        let fits = fetch(&client, &upstream.url(&format!("/{kind}/1000"))).await.unwrap();
        assert_eq!(fits.len(), 1_000);
        let over = fetch(&client, &upstream.url(&format!("/{kind}/1001"))).await.unwrap_err();
        assert_eq!(over, Error::ResponseTooLarge { limit: 1_000 });
        assert_eq!(over.kind(), ErrorKind::Upstream);

        let answer = client.send(get(&upstream.url(&format!("/{kind}/11"))), &Credential::None);
        let over = answer.await.unwrap().body.bytes_limited(10).await;
        assert_eq!(over, Err(Error::ResponseTooLarge { limit: 10 }));
    }
}

#[tokio::test]
async fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
    let upstream = Upstream::start(sized()).await;
    let client = limited(&upstream, Limits { request_body: 1_000, ..Limits::default() });
    let mut request = get(&upstream.url("/echo"));
    request.method = Method::POST;
    request.body = Bytes::from(vec![7; 1_000]);
    let answer = client.send(request.clone(), &Credential::None).await.unwrap();
    assert_eq!(answer.body.bytes_limited(1_000).await.unwrap(), request.body);
    request.body = Bytes::from(vec![7; 1_001]);
    let over = client.send(request, &Credential::None).await.unwrap_err();
    assert_eq!(over, Error::RequestTooLarge { limit: 1_000 });
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let app = Router::new().route(
        "/{number}/{length}",
        on_get(|Path((number, length)): Path<(usize, usize)>| async move {
            let header = |at| {
                let value = HeaderValue::from_str(&"x".repeat(length)).unwrap();
                (format!("x-{at}").parse().unwrap(), value)
            };
            (0..number).map(header).collect::<HeaderMap>()
        }),
    );
    let upstream = Upstream::start(app).await;
    let limits =
        Limits { response_headers: 20, response_header_bytes: 10_000, ..Limits::default() };
    let client = limited(&upstream, limits);
    assert_eq!(fetch(&client, &upstream.url("/10/10")).await.unwrap(), "");
    for path in ["/21/1", "/2/6000", "/15/2000"] {
        let refused = fetch(&client, &upstream.url(path)).await;
        assert_eq!(refused, Err(Error::HeadersTooLarge), "{path}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    let app = Router::new().route(
        "/",
        on_get(|headers: HeaderMap| async move {
            assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
            ([(header::CONTENT_ENCODING, "gzip")], "a bomb")
        }),
    );
    let upstream = Upstream::start(app).await;
    let refused = fetch(&client(only(&[&upstream])), &upstream.url("/")).await;
    assert_eq!(refused, Err(Error::Compressed));
}

#[tokio::test]
async fn the_deadline_holds_before_and_within_the_body() {
    let stuck = || async {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"slow"))]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let never = || async { std::future::pending::<()>().await };
    let app = Router::new().route("/stuck", on_get(stuck)).route("/never", on_get(never));
    let upstream = Upstream::start(app).await;
    let client = client(only(&[&upstream]));
    for path in ["/stuck", "/never"] {
        let mut request = get(&upstream.url(path));
        request.timeout = Duration::from_millis(100);
        let outcome = match client.send(request, &Credential::None).await {
            Ok(answer) => answer.body.bytes_limited(100).await.map(drop),
            Err(error) => Err(error),
        };
        assert_eq!(outcome, Err(Error::Timeout), "{path}");
    }
    assert_eq!(Error::Timeout.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_silent_peer_hits_the_time_for_connecting() {
    // Accepts and says nothing: the TLS handshake gets no answer.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { connect_timeout: Duration::from_millis(100), ..Limits::default() };
    let upstream = Upstream::start(Router::new()).await;
    let mut policy = only(&[&upstream]);
    policy.allow.sockets.push(listener.local_addr().unwrap());
    policy.limits = limits;
    let url = format!("https://{}/", listener.local_addr().unwrap());
    assert_eq!(fetch(&client(policy), &url).await, Err(Error::ConnectTimeout));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_or_no_http_is_told_apart() {
    let upstream = Upstream::start(sized()).await;
    let client_ = client(only(&[&upstream]));
    let tls = fetch(&client_, &format!("https://{}/", upstream.address)).await;
    assert_eq!(tls, Err(Error::Tls));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = std::io::Write::write_all(&mut stream, b"220 mail.example.com ESMTP\r\n");
    });
    let mut policy = only(&[&upstream]);
    policy.allow.sockets = vec![address];
    assert_eq!(fetch(&client(policy), &format!("http://{address}/")).await, Err(Error::Protocol));

    let mut policy = only(&[&upstream]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    policy.allow.sockets = vec![closed];
    let refused = fetch(&client(policy), &format!("http://{closed}/")).await;
    assert_eq!(refused, Err(Error::Connect(std::io::ErrorKind::ConnectionRefused)));
}

#[tokio::test]
async fn no_more_run_at_one_time_than_the_bound() {
    let release = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let app = Router::new().route(
        "/",
        on_get({
            let release = Arc::clone(&release);
            move || async move {
                arrived.send(()).unwrap();
                release.acquire().await.unwrap().forget();
            }
        }),
    );
    let upstream = Upstream::start(app).await;
    let client = limited(&upstream, Limits { concurrency_per_host: 2, ..Limits::default() });
    let url = upstream.url("/");
    let running = [(); 2].map(|()| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { fetch(&client, &url).await })
    });
    for _ in &running {
        arrivals.recv().await.unwrap();
    }
    let over = fetch(&client, &url).await.unwrap_err();
    assert_eq!((over.kind(), over), (ErrorKind::Exhausted, Error::Overloaded));
    release.add_permits(3);
    for task in running {
        task.await.unwrap().unwrap();
    }
    fetch(&client, &url).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_not_read_keeps_its_place_until_dropped() {
    let upstream = Upstream::start(sized()).await;
    let client = limited(&upstream, Limits { concurrency: 1, ..Limits::default() });
    let url = upstream.url("/chunked/100000");
    let unread = client.send(get(&url), &Credential::None).await.unwrap();
    assert_eq!(fetch(&client, &url).await, Err(Error::Overloaded));
    drop(unread);
    assert_eq!(fetch(&client, &url).await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn methods_that_are_not_for_apps_are_refused() {
    let upstream = Upstream::start(sized()).await;
    for method in [Method::CONNECT, Method::TRACE] {
        let mut request = get(&upstream.url("/"));
        request.method = method;
        let refused = client(only(&[&upstream])).send(request, &Credential::None).await;
        assert_eq!(refused.unwrap_err(), Error::MethodRefused);
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn an_answer_may_not_switch_protocols() {
    let app = Router::new().route(
        "/",
        on_get(|| async {
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::UPGRADE, "websocket")
                .header(header::CONNECTION, "upgrade")
                .body(Body::empty())
                .unwrap()
                .into_response()
        }),
    );
    let upstream = Upstream::start(app).await;
    let refused = fetch(&client(only(&[&upstream])), &upstream.url("/")).await;
    assert_eq!(refused, Err(Error::Protocol));
}
