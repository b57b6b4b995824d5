//! `keystile dev` in this process: what it makes, keeps and says.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use keystile::{
    Settings, advice,
    dev::{self, Demo},
    wire::{self, Sandbox},
};
use keystile_domain::Role;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

fn settings(data_dir: &Path) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = Settings { data_dir: data_dir.to_owned(), ..Settings::default() };
    settings.gateway.listen = any;
    settings.console.listen = any;
    settings.verification.listen = any;
    settings.telemetry.listen = any;
    settings
}

fn all() -> BTreeSet<Role> {
    Role::ALL.into()
}

fn exposed(secret: Option<&SecretString>) -> &str {
    secret.expect("was made").expose_secret()
}

async fn run(gateway: SocketAddr, demo: &Demo, action: &str, inputs: Value) -> (StatusCode, Value) {
    let url = format!("http://{gateway}/api/v1/components/action.sandbox.{action}/run");
    let token = exposed(demo.token.as_ref());
    let request = Client::new().post(url).bearer_auth(token).json(&json!({ "inputs": inputs }));
    let response = request.send().await.expect("answers");
    (response.status(), response.json().await.expect("is JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_key_does_what_the_screen_says_and_lives_on() {
    let home = tempfile::tempdir().expect("a directory");
    let settings = settings(&home.path().join("data"));
    let (running, demo) = dev::start(&settings).await.expect("starts");
    let gateway = running.addresses().of(Role::Gateway).expect("listens");
    let (status, answer) = run(gateway, &demo, "create-note", json!({"title": "Buy milk"})).await;
    assert_eq!((status, &answer["outputs"]["title"]), (StatusCode::OK, &json!("Buy milk")));
    let (status, answer) = run(gateway, &demo, "delete-note", json!({"noteId": "note_1"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("component_not_allowed")));
    running.stop().await;

    let (running, again) = dev::start(&settings).await.expect("starts again");
    assert_eq!(exposed(again.token.as_ref()), exposed(demo.token.as_ref()));
    let gateway = running.addresses().of(Role::Gateway).expect("listens");
    let (status, _) = run(gateway, &again, "list-notes", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told_with_how_to_choose_another() {
    let home = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("bound");
    let mut settings = settings(&home.path().join("data"));
    settings.console.listen = addr;
    let error = wire::start(&settings, &all(), Sandbox::Leave).await.err().expect("refuses");
    let told = advice::told(&error);
    assert!(told.contains(&format!("port {} is taken: console.listen", addr.port())), "{told}");
    assert!(
        told.contains("--console-listen") && told.contains("KEYSTILE_CONSOLE__LISTEN"),
        "{told}"
    );
    assert!(!settings.data_dir.exists(), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_while_the_first_has_the_directory() {
    let home = tempfile::tempdir().expect("a directory");
    let settings = settings(&home.path().join("data"));
    let running = wire::start(&settings, &all(), Sandbox::Leave).await.expect("starts");
    let error = wire::start(&settings, &all(), Sandbox::Leave).await.err().expect("refuses");
    assert!(advice::told(&error).contains("is in use by another keystile process"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_vault_that_stores_something_does_not_start() {
    let home = tempfile::tempdir().expect("a directory");
    let settings = settings(&home.path().join("data"));
    let (running, _demo) = dev::start(&settings).await.expect("starts");
    running.stop().await;
    let key = settings.data_dir.join("secrets/keks.key");
    let kept = std::fs::read(&key).expect("was made");
    std::fs::remove_file(&key).expect("is ours");

    let error = wire::start(&settings, &all(), Sandbox::Leave).await.err().expect("refuses");
    let told = advice::told(&error);
    assert!(told.contains("secrets.keks is missing") && told.contains("hint: restore"), "{told}");
    assert!(!key.exists(), "no other key takes its place");

    // Another key in its place opens nothing, and is refused too.
    let mut other = settings.clone();
    other.secrets.keks = vec!["1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned().into()];
    assert!(wire::start(&other, &all(), Sandbox::Leave).await.is_err());

    other.secrets.keks = vec![String::from_utf8(kept).expect("text").trim().to_owned().into()];
    wire::start(&other, &all(), Sandbox::Leave).await.expect("the right key does").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_beside_the_edge() {
    let home = tempfile::tempdir().expect("a directory");
    let settings = settings(&home.path().join("data"));
    let running = wire::start(&settings, &all(), Sandbox::Leave).await.expect("starts");
    running.ready(std::time::Duration::from_secs(20)).await.expect("is ready");
    let telemetry = running.addresses().telemetry;
    let healthz = reqwest::get(format!("http://{telemetry}/healthz")).await.expect("answers");
    assert_eq!(healthz.status(), StatusCode::OK);
    let readyz = reqwest::get(format!("http://{telemetry}/readyz")).await.expect("answers");
    let report: Value = readyz.json().await.expect("is JSON");
    assert_eq!(report["ready"], json!(true));
    assert_eq!(report["roles"].as_array().map(Vec::len), Some(6));
    running.stop().await;
}
