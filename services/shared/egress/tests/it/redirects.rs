//! Threat 23: where answers send the client.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri, header::LOCATION},
    routing::{any, get as on_get},
};
use keystile_domain::ErrorKind;
use keystile_egress::{Credential, Error, RedirectFault};

use crate::support::{Upstream, client, get, nets};

/// `/?to=…` redirects there; `/count/n` redirects n times.
fn redirector() -> Router {
    Router::new()
        .route(
            "/",
            on_get(|Query(query): Query<Vec<(String, String)>>| async move {
                (StatusCode::FOUND, [(LOCATION, query[0].1.clone())])
            }),
        )
        .route(
            "/count/{left}",
            any(|Path(left): Path<u32>, headers: HeaderMap| async move {
                let to = match left {
                    0 => {
                        return (StatusCode::OK, [(LOCATION, String::new())], authorized(&headers));
                    }
                    left => format!("/count/{}", left - 1),
                };
                (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)], String::new())
            }),
        )
}

fn authorized(headers: &HeaderMap) -> String {
    format!("authorized: {}", headers.get("authorization").is_some())
}

#[tokio::test]
async fn a_redirect_to_elsewhere_is_refused_and_nobody_is_dialled() {
    let inside = Upstream::start_at("[::1]:0", Router::new()).await;
    let other = Upstream::start(Router::new()).await;
    let upstream = Upstream::start(redirector()).await;
    // Even where the addresses themselves are listed.
    let client = client(nets(&["127.0.0.0/8", "::1/128"]));
    let (here, inside_port) = (upstream.address, inside.address.port());
    for (target, fault) in [
        (format!("http://[::1]:{inside_port}/"), RedirectFault::Origin),
        (format!("//[::1]:{inside_port}/"), RedirectFault::Origin),
        (other.url("/"), RedirectFault::Origin),
        (format!("https://{here}/"), RedirectFault::Origin),
        (format!("http://localhost:{}/", here.port()), RedirectFault::Origin),
        (format!("http://user:pass@{here}/"), RedirectFault::UserInfo),
        (format!("http://{here}@{}/", other.address), RedirectFault::UserInfo),
        ("file:///etc/passwd".to_owned(), RedirectFault::Origin),
        ("http://[".to_owned(), RedirectFault::Location),
    ] {
        let mut request = get(&upstream.url("/"));
        request.url.query_pairs_mut().append_pair("to", &target);
        let refused = client.send(request, &Credential::Bearer("swordfish".into())).await;
        let error = refused.expect_err(&target);
        assert_eq!(error, Error::RedirectRefused(fault), "{target}");
        assert_eq!(error.kind(), ErrorKind::Upstream);
    }
    assert_eq!((inside.accepted(), other.accepted()), (0, 0));
}

/// Threat 20: whatever a location is written like, it stays at the origin and does not climb.
#[tokio::test]
async fn no_spelling_of_a_location_leads_elsewhere() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let upstream = Upstream::start(redirector().fallback({
        let seen = Arc::clone(&seen);
        move |uri: Uri| async move { seen.lock().unwrap().push(uri.path().to_owned()) }
    }))
    .await;
    let other = Upstream::start(Router::new()).await;
    let client = client(nets(&["127.0.0.0/8", "::1/128"]));
    let (here, there) = (upstream.address, other.address);
    let mut locations = Vec::new();
    for dots in ["..", "%2e%2e", "%252e%252e", ".%2E", "%c0%ae%c0%ae"] {
        for parameter in [";", ";a=b", "%3b", "%253b", "%20"] {
            for slash in ["/", "%2f", "\\", "%5c", "%252F"] {
                locations.push(format!("/a/{dots}{parameter}{slash}admin"));
                locations.push(format!("a/{dots}{parameter}{slash}admin"));
                locations.push(format!("http://{here}/a/{dots}{parameter}{slash}admin"));
            }
        }
        locations.push(format!("/a%2f{dots}%2fadmin"));
        locations.push(format!("/a/{dots}%2fadmin"));
        locations.push(format!("/a/..%5c{dots}%5cadmin"));
    }
    for prefix in
        ["//", "\\\\", "/\\", "\\/", "http://", "http:\\\\", "HTTP:/\\", "http:////", "\t//"]
    {
        locations.push(format!("{prefix}{there}/"));
        locations.push(format!("{prefix}{there}\\@{here}/"));
        locations.push(format!("{prefix}{here}@{there}/"));
        locations.push(format!("{prefix}{here}..;@{there}/"));
    }
    assert!(locations.len() >= 400, "{}", locations.len());
    for location in &locations {
        let mut request = get(&upstream.url("/"));
        request.url.query_pairs_mut().append_pair("to", location);
        let outcome = client.send(request, &Credential::Bearer("swordfish".into())).await;
        assert!(matches!(outcome, Err(Error::RedirectRefused(_))), "{location:?}: {outcome:?}");
    }
    assert_eq!((other.accepted(), seen.lock().unwrap().len()), (0, 0));
    // What the parser itself resolves says no more than where it leads.
    for (location, path) in [("/a/../b", "/b"), ("/a/%2e%2e/c", "/c"), ("/a;b/c", "/a;b/c")] {
        let mut request = get(&upstream.url("/"));
        request.url.query_pairs_mut().append_pair("to", location);
        client.send(request, &Credential::None).await.unwrap();
        assert_eq!(seen.lock().unwrap().pop().as_deref(), Some(path));
    }
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_five_times() {
    let upstream = Upstream::start(redirector()).await;
    let client = client(nets(&["127.0.0.0/8"]));
    let credential = Credential::Bearer("swordfish".into());
    let last = client.send(get(&upstream.url("/count/5")), &credential).await.unwrap();
    assert_eq!(last.body.bytes_limited(100).await.unwrap(), "authorized: true");
    let more = client.send(get(&upstream.url("/count/6")), &credential).await;
    assert_eq!(more.unwrap_err(), Error::RedirectRefused(RedirectFault::TooMany));
}

#[tokio::test]
async fn a_redirect_without_a_location_is_an_answer() {
    let app = Router::new().route("/", on_get(|State(()): State<()>| async { StatusCode::FOUND }));
    let upstream = Upstream::start(app).await;
    let answer =
        client(nets(&["127.0.0.0/8"])).send(get(&upstream.url("/")), &Credential::None).await;
    assert_eq!(answer.unwrap().status, StatusCode::FOUND);
}
