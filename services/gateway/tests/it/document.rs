//! The OpenAPI document and the pages over it. That every answer is described is checked on each
//! answer of every other test, in `World::send`.

use std::collections::BTreeSet;

use keystile_domain::Refusal;
use serde_json::{Value, json};

use crate::{
    connects::INTEGRATION,
    support::{World, config},
};

const ROUTES: [&str; 14] = [
    "get /api/v1/components/apps",
    "get /api/v1/components/details/{componentId}",
    "get /api/v1/components/list",
    "get /api/v1/me",
    "get /connect/callback/{integrationId}",
    "get /connect/{integrationId}",
    "get /docs",
    "get /docs/",
    "get /docs/{file}",
    "get /healthz",
    "get /openapi.json",
    "get /readyz",
    "post /api/v1/components/{componentId}/run",
    "post /connect/{integrationId}",
];

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "trace"];

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let world = World::new().await;
    let mut described = BTreeSet::new();
    for (path, item) in world.document["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{componentId}", "action.sandbox.echo")
            .replace("{file}", "swagger-ui.css")
            .replace("{integrationId}", INTEGRATION);
        for method in METHODS {
            let operation = item.get(method);
            let answer = world.send(&method.to_uppercase(), &concrete, &[], "").await;
            let is_head = method == "head" && item.get("get").is_some();
            let served = !matches!(answer.status, 404 | 405);
            assert_eq!(served, operation.is_some() || is_head, "{method} {path}");
            if operation.is_some() {
                described.insert(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(described, BTreeSet::from(ROUTES.map(str::to_owned)));
}

#[tokio::test]
async fn routes_with_a_key_say_so_and_describe_every_refusal() {
    let world = World::new().await;
    for (path, item) in world.document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let takes_key = path.starts_with("/api/");
            let security = takes_key.then(|| json!([{"bearer": []}, {"apiKey": []}]));
            assert_eq!(operation.get("security").cloned(), security, "{method} {path}");
            if !takes_key {
                continue;
            }
            let responses = operation["responses"].as_object().unwrap();
            let text = responses.values().map(|response| response["description"].as_str().unwrap());
            let text: String = text.collect();
            for refusal in Refusal::ALL {
                let about_component =
                    matches!(refusal, Refusal::ComponentNotAllowed | Refusal::ConnectionNotAllowed);
                let expected = !about_component || path.contains('{');
                let listed = text.contains(&format!("`{}`", refusal.code()));
                assert_eq!(listed, expected, "{path} {refusal:?}");
            }
            for (status, response) in responses {
                if status != "200" {
                    let schema = &response["content"]["application/problem+json"]["schema"];
                    assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{path} {status}");
                }
            }
            assert!(responses["401"]["headers"]["WWW-Authenticate"].is_object());
            assert!(responses["429"]["headers"]["Retry-After"].is_object());
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let public = config(|config| config.public_url = Some("https://gateway.example.com".into()));
    let world = World::with(public).await;
    assert!(world.document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(world.document["servers"], json!([{"url": "https://gateway.example.com"}]));
    let mut found = BTreeSet::new();
    references(&world.document, &mut found);
    assert!(found.len() >= 5, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference inside");
        assert!(world.document.pointer(pointer).is_some(), "{reference}");
    }
    let schemes = &world.document["components"]["securitySchemes"];
    assert_eq!(schemes["bearer"]["scheme"], "bearer");
    assert_eq!(schemes["apiKey"]["name"], "x-api-key");
}

#[tokio::test]
async fn the_pages_load_nothing_from_elsewhere() {
    let world = World::new().await;
    let redirect = world.send("GET", "/docs", &[], "").await;
    assert_eq!((redirect.status, redirect.header("location")), (303, Some("/docs/")));
    let page = world.send("GET", "/docs/", &[], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';"), "{policy}");
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(!html.contains("://") && !html.contains("<script>"), "{html}");
    let mut loaded = 0;
    for attribute in html.split(['"', '\'']).filter(|text| {
        [".js", ".css", ".png"].iter().any(|end| text.ends_with(end)) && !text.contains(' ')
    }) {
        let file = attribute.trim_start_matches("./");
        let answer = world.send("GET", &format!("/docs/{file}"), &[], "").await;
        assert_eq!(answer.status, 200, "{file}");
        assert!(!answer.body.is_empty(), "{file}");
        loaded += 1;
    }
    assert!(loaded >= 6, "{loaded}");
    let start = world.send("GET", "/docs/swagger-initializer.js", &[], "").await;
    let start = String::from_utf8(start.body).unwrap();
    assert!(start.contains("/openapi.json") && start.contains(r#""validatorUrl": "none""#));
    assert!(!start.contains("petstore"), "{start}");
    for missing in ["nothing.js", "..%2findex.html", "%ff", "%2e%2e%2f%2e%2e%2fCargo.toml"] {
        let answer = world.send("GET", &format!("/docs/{missing}"), &[], "").await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{missing}");
    }
}
