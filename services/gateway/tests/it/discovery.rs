//! What a key can find out.

use keystile_domain::Refusal;
use serde_json::json;

use crate::support::{GRANTED, NOT_GRANTED, World, refuse};

#[tokio::test]
async fn a_key_sees_itself_without_its_token() {
    let world = World::new().await;
    let answer = world.get("/api/v1/me").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(
        answer.json(),
        json!({
            "id": "key_0000000000e008000000000001",
            "name": "nightly report",
            "environment": "dev",
            "grants": [{
                "appKey": "sandbox",
                "connectionId": "conn_0000000000e008000000000003",
                "allowedComponents": GRANTED,
            }],
            "limits": {"requestsPerMinute": 60, "requestsPerMonth": null},
            "remaining": {"requestsPerMinute": 0, "requestsPerMonth": null},
            "expiresAt": "2026-01-01T13:00:00Z",
        })
    );
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].question.component, "");
    assert_eq!(asked[0].question.source_ip, "127.0.0.1");
    assert_eq!(asked[0].question.capability_audience, "");
}

#[tokio::test]
async fn lists_are_plain_arrays_of_what_was_granted_and_still_exists() {
    let world = World::new().await;
    let apps = world.get("/api/v1/components/apps").await.json();
    assert_eq!(apps.as_array().map(Vec::len), Some(1));
    assert_eq!(apps[0]["name"], "Sandbox");
    assert_eq!(apps[0]["key"], "sandbox");
    assert!(apps[0]["icon"].is_string());
    assert_eq!(apps[0].as_object().map(serde_json::Map::len), Some(3));

    let list = world.get("/api/v1/components/list").await.json();
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, GRANTED[..3]);
    let create = &list[0];
    assert_eq!(create["name"], "Create a note");
    assert_eq!(create["appKey"], "sandbox");
    assert_eq!(create["appName"], "Sandbox");
    assert_eq!(create["required"], json!(["title"]));
    assert_eq!(create["inputs"]["properties"]["title"]["maxLength"], 200);
    assert!(create["outputs"].is_object());
    let mut members: Vec<_> = create.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected =
        ["appKey", "appName", "desc", "icon", "id", "inputs", "name", "outputs", "required"];
    assert_eq!(members, expected);

    assert_eq!(world.get("/api/v1/components/list?app=sandbox").await.json(), list);
    assert_eq!(world.get("/api/v1/components/list?app=gmail").await.json(), json!([]));
}

#[tokio::test]
async fn details_say_everything_about_a_granted_component() {
    let world = World::new().await;
    let details = world.get("/api/v1/components/details/action.sandbox.create-note").await.json();
    assert_eq!(details["id"], "action.sandbox.create-note");
    assert_eq!(details["kind"], "action");
    assert_eq!(details["scopes"], json!(["notes.write"]));
    assert!(details["reference"].as_str().unwrap().contains("://"));
    assert!(details["description"].as_str().unwrap().starts_with("Writes a note"));
    let path = format!("/api/v1/components/details/{NOT_GRANTED}");
    let refused = world.get(&path).await;
    assert_eq!((refused.status, &*refused.code()), (403, "component_not_allowed"));
    assert_eq!(refused.json()["required"], json!([NOT_GRANTED]));
    assert_eq!(refused.json()["held"], json!(GRANTED));
}

#[tokio::test]
async fn a_query_parameter_that_nobody_knows_is_told() {
    let world = World::new().await;
    for path in [
        "/api/v1/me?api_key=ks_x",
        "/api/v1/components/apps?app=gmail",
        "/api/v1/components/list?apps=gmail",
        "/api/v1/components/list?app=sandbox&app=gmail",
        "/api/v1/components/list?app=San%20dbox",
        "/api/v1/components/list?app=",
        "/api/v1/components/details/action.sandbox.echo?x",
    ] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, &*answer.code()), (400, "invalid_query"), "{path}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("ks_x"));
    }
    world.decide(|_| refuse(Refusal::Invalid));
    assert_eq!(world.get("/api/v1/me?api_key=ks_x").await.status, 401);
}
