//! Proxy variables of the environment mean nothing.

use std::process::Command;

use axum::{Router, routing::get as on_get};
use keystile_egress::Credential;

use crate::support::{Names, Upstream, get, named, only};

const INNER: &str = "proxies::inner_a_request_goes_straight";

#[tokio::test]
async fn proxy_variables_are_ignored() {
    let proxy = Upstream::start(Router::new()).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", INNER, "--ignored"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        child.env(name, proxy.url("/"));
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{printed}");
    assert_eq!(proxy.accepted(), 0);
}

#[tokio::test]
#[ignore = "run by proxy_variables_are_ignored, with proxy variables set"]
async fn inner_a_request_goes_straight() {
    let app = Router::new().route("/", on_get(|| async { "straight" }));
    let upstream = Upstream::start(app).await;
    let client = named(only(&[&upstream]), &Names::new(&[&["127.0.0.1"]]));
    let url = format!("http://api.example.com:{}/", upstream.address.port());
    let answer = client.send(get(&url), &Credential::None).await.unwrap();
    assert_eq!(answer.body.bytes_limited(100).await.unwrap(), "straight");
}
