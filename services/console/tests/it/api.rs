//! The rules of the API: strict input, uniform 404, secrets told once.

use axum::http::{Method, StatusCode};
use keystile_domain::{
    Clock as _, ConnectionId, IntegrationId, KeyId, ManagementTokenId, OperationId,
};
use keystile_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::{
    issuance::TOKEN,
    world::{World, new_integration, new_key},
};

const KEYS: &str = "/api/manage/v1/keys";

#[tokio::test]
async fn a_created_token_is_told_once() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let auth = format!("Bearer {owner}");
    let headers = [("authorization", auth.as_str()), ("idempotency-key", "order-1")];
    let made = world.send(Method::POST, KEYS, &headers, Some(new_key("dev"))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["token"], TOKEN);
    assert_eq!(made.body["status"], "done");
    assert_eq!(made.body["receipt"]["acknowledged"], 3);
    let id = made.body["key"]["id"].as_str().expect("an id").to_owned();

    let again = world.send(Method::POST, KEYS, &headers, Some(new_key("dev"))).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "operation_repeated"));
    assert_eq!(again.body["keyId"], id);
    let told = [
        again.text,
        world.get(&owner, KEYS).await.text,
        world.get(&owner, &format!("{KEYS}/{id}")).await.text,
        world.get(&owner, "/api/manage/v1/audit").await.text,
    ];
    assert!(told.iter().all(|text| !text.contains(TOKEN)));

    // The same name in another team is another operation.
    let (_, other) = world.team("bob@example.com").await;
    let auth = format!("Bearer {other}");
    let headers = [("authorization", auth.as_str()), ("idempotency-key", "order-1")];
    let made = world.send(Method::POST, KEYS, &headers, Some(new_key("dev"))).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let bad = [("authorization", auth.as_str()), ("idempotency-key", "é")];
    let refused = world.send(Method::POST, KEYS, &bad, Some(new_key("dev"))).await;
    assert_eq!(refused.code(), "invalid_idempotency_key");
}

#[tokio::test]
async fn a_repeat_that_would_not_be_recognised_is_refused() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let auth = format!("Bearer {owner}");
    let headers = [("authorization", auth.as_str()), ("idempotency-key", "order-1")];
    let connection = json!({"appKey": "slack", "name": "c", "credential": {"bearerToken": "s"}});
    for (list, body) in [
        ("/api/manage/v1/connections", connection),
        ("/api/manage/v1/integrations", new_integration()),
        ("/api/manage/v1/tokens", json!({"name": "ci", "role": "viewer"})),
    ] {
        let before = world.get(&owner, list).await.body;
        let refused = world.send(Method::POST, list, &headers, Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "idempotency_not_supported"));
        assert_eq!(world.get(&owner, list).await.body, before);
    }
    let made = world.post(&owner, "/api/manage/v1/integrations", new_integration()).await;
    let own = format!("/api/manage/v1/integrations/{}", made.body["id"].as_str().expect("an id"));
    let before = world.get(&owner, &own).await.body;
    let name = Some(json!({"name": "n"}));
    for (method, path, body) in [
        (Method::PATCH, own.clone(), name.clone()),
        (Method::DELETE, own.clone(), None),
        (Method::POST, format!("{own}/check"), None),
        (Method::POST, format!("{own}/disable"), None),
        (Method::POST, format!("{own}/enable"), None),
        (Method::POST, format!("{own}/connect"), name),
    ] {
        let refused = world.send(method.clone(), &path, &headers, body).await;
        assert_eq!(refused.code(), "idempotency_not_supported", "{method} {path}");
        assert_eq!(world.get(&owner, &own).await.body, before);
    }
}

#[tokio::test]
async fn a_pending_change_is_202_and_never_done() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let made = world.post(&owner, KEYS, new_key("dev")).await;
    let id = made.body["key"]["id"].as_str().expect("an id").to_owned();
    world.issuance.rows().pending = true;
    let auth = format!("Bearer {owner}");
    for verb in ["regenerate", "disable", "revoke"] {
        let path = format!("{KEYS}/{id}/{verb}");
        let headers = [("authorization", auth.as_str())];
        let answer = world.send(Method::POST, &path, &headers, None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{verb}");
        assert_eq!(answer.body["status"], "pending");
        assert!(answer.body["operationId"].as_str().is_some_and(|id| id.starts_with("op_")));
        assert_eq!(answer.body["receipt"], Value::Null);
        assert_eq!(answer.body["token"].is_string(), verb == "regenerate");
    }
}

#[tokio::test]
async fn ids_that_are_foreign_malformed_or_unknown_look_the_same() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let (_, other) = world.team("bob@example.com").await;
    let made = world.post(&other, KEYS, new_key("dev")).await;
    let foreign_key = made.body["key"]["id"].as_str().expect("an id").to_owned();
    let body = json!({"appKey": "slack", "name": "c", "credential": {"bearerToken": "s"}});
    let made = world.post(&other, "/api/manage/v1/connections", body).await;
    let foreign_connection = made.body["id"].as_str().expect("an id").to_owned();
    let made = world.post(&other, "/api/manage/v1/integrations", new_integration()).await;
    let foreign_integration = made.body["id"].as_str().expect("an id").to_owned();
    let listed = world.get(&other, "/api/manage/v1/tokens").await;
    let foreign_token = listed.body["items"][0]["id"].as_str().expect("an id").to_owned();
    let (now, entropy) = (world.clock.now(), SeededEntropy::new(5));
    let keys = [foreign_key, KeyId::generate(now, &entropy).to_string(), "key_x".to_owned()];
    let connections = [
        foreign_connection,
        ConnectionId::generate(now, &entropy).to_string(),
        "..%2F..%2Ftokens".to_owned(),
    ];
    let unknown = IntegrationId::generate(now, &entropy).to_string();
    let integrations = [foreign_integration, unknown, "int_%00".to_owned()];
    let unknown = ManagementTokenId::generate(now, &entropy).to_string();
    let tokens = [foreign_token, unknown, "%FF".to_owned()];
    let grant = json!({"allowedComponents": ["action.slack.post-message"]});
    let rotate = json!({"overlapEndsAt": "2026-01-02T12:00:00Z"});
    let mut requests = Vec::new();
    for id in keys {
        let path = format!("{KEYS}/{id}");
        requests.push((Method::GET, path.clone(), None));
        requests.push((Method::PATCH, path.clone(), Some(json!({"name": "n"}))));
        requests.push((Method::DELETE, path.clone(), None));
        requests.push((Method::PUT, format!("{path}/apps/slack"), Some(grant.clone())));
        requests.push((Method::DELETE, format!("{path}/apps/slack"), None));
        requests.push((Method::POST, format!("{path}/rotate"), Some(rotate.clone())));
        for verb in ["disable", "enable", "regenerate", "end-overlap", "revoke"] {
            requests.push((Method::POST, format!("{path}/{verb}"), None));
        }
    }
    for id in connections {
        let path = format!("/api/manage/v1/connections/{id}");
        requests.push((Method::GET, path.clone(), None));
        requests.push((Method::DELETE, path.clone(), None));
        requests.push((Method::POST, format!("{path}/test"), None));
    }
    for id in integrations {
        let path = format!("/api/manage/v1/integrations/{id}");
        requests.push((Method::GET, path.clone(), None));
        requests.push((Method::PATCH, path.clone(), Some(json!({"name": "n"}))));
        requests.push((Method::DELETE, path.clone(), None));
        requests.push((Method::POST, format!("{path}/connect"), Some(json!({"name": "n"}))));
        for verb in ["check", "disable", "enable"] {
            requests.push((Method::POST, format!("{path}/{verb}"), None));
        }
    }
    for id in tokens {
        requests.push((Method::DELETE, format!("/api/manage/v1/tokens/{id}"), None));
    }
    let operation = OperationId::generate(now, &entropy);
    requests.push((Method::GET, format!("/api/manage/v1/cuts/{operation}"), None));
    requests.push((Method::GET, "/api/manage/v1/cuts/x".to_owned(), None));
    requests.push((Method::GET, "/api/manage/v1/apps/none".to_owned(), None));
    requests.push((Method::GET, "/api/manage/v1/apps/No%00ne".to_owned(), None));
    let path = "/api/manage/v1/apps/No%00ne/connections?component=action.slack.x".to_owned();
    requests.push((Method::GET, path, None));
    let auth = format!("Bearer {owner}");
    let headers = [("authorization", auth.as_str()), ("x-request-id", "same")];
    let mut told = Vec::new();
    for (method, path, body) in requests {
        let answer = world.send(method.clone(), &path, &headers, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {answer:?}");
        told.push(answer.text);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn what_nobody_asked_for_is_refused() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let made = world.post(&owner, KEYS, new_key("dev")).await;
    let id = made.body["key"]["id"].as_str().expect("an id").to_owned();
    let with = |pointer: &str, value: Value| {
        let mut body = new_key("dev");
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(parent).expect("a parent")[name] = value;
        body
    };
    for (pointer, value) in [
        ("/status", json!("active")),
        ("/teamId", json!("team_1")),
        ("/createdBy", json!("user_1")),
        ("/environment", json!("qa")),
        ("/expiresAt", json!("tomorrow")),
        ("/name", json!(7)),
        ("/limits", json!({"requestsPerSecond": 1})),
        ("/connections/0/integrationId", json!("int_1")),
        ("/connections/0/connectionId", json!("conn_x")),
        ("/connections/0/appKey", json!("../x")),
        ("/connections/0/allowedComponents", json!(["action.slack..x"])),
    ] {
        let refused = world.post(&owner, KEYS, with(pointer, value)).await;
        assert_eq!(refused.code(), "invalid_request", "{pointer}: {refused:?}");
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        let told = refused.body["errors"][0]["pointer"].as_str().expect("a pointer");
        assert!(told.starts_with(pointer), "{pointer}: {told}");
    }
    for (pointer, value, told) in [
        ("/name", json!("<b>"), "/name"),
        ("/connections", json!([]), "/connections"),
        ("/connections/0/appKey", json!("unknown"), "/connections/0/appKey"),
    ] {
        let refused = world.post(&owner, KEYS, with(pointer, value)).await;
        assert_eq!(refused.code(), "invalid_request", "{refused:?}");
        assert_eq!(refused.body["errors"][0]["pointer"], told);
    }

    // A credential that does not fit is not repeated.
    for credential in [
        json!("s3cret"),
        json!({"bearerToken": {"x": "s3cret"}}),
        json!({"s3cret": 1}),
        json!({"fields": "s3cret"}),
        json!({"fields": {"x": ["s3cret"]}}),
        json!({"integrationId": "s3cret"}),
    ] {
        let body = json!({"appKey": "slack", "name": "c", "credential": credential});
        let refused = world.post(&owner, "/api/manage/v1/connections", body).await;
        assert_eq!(refused.code(), "invalid_request");
        assert!(!refused.text.contains("s3cret"), "{}", refused.text);
    }

    let auth = format!("Bearer {owner}");
    let headers = [("authorization", auth.as_str())];
    let verb = format!("{KEYS}/{id}/revoke");
    let body = world.send(Method::POST, &verb, &headers, Some(json!({"force": true}))).await;
    assert_eq!(body.code(), "invalid_request");
    let keyed = format!("{KEYS}/{id}");
    for (method, path) in [
        (Method::GET, format!("{KEYS}?colour=red")),
        (Method::GET, format!("{KEYS}?page_size=0")),
        (Method::GET, format!("{KEYS}?page_size=201")),
        (Method::GET, format!("{KEYS}?sort=colour")),
        (Method::GET, format!("{KEYS}?name=a&name=b")),
        (Method::GET, format!("{keyed}?x=1")),
        (Method::POST, format!("{KEYS}?x=1")),
        (Method::POST, format!("{verb}?x=1")),
        (Method::DELETE, format!("{keyed}?x=1")),
        (Method::GET, "/api/manage/v1/team?x=1".to_owned()),
        (Method::GET, "/api/manage/v1/apps?x=1".to_owned()),
        (Method::GET, "/api/manage/v1/connections?x=1".to_owned()),
        (Method::GET, "/api/manage/v1/integrations?x=1".to_owned()),
        (Method::POST, "/api/manage/v1/integrations?x=1".to_owned()),
        (Method::GET, "/api/manage/v1/audit?x=1".to_owned()),
        (Method::GET, "/api/manage/v1/tokens?x=1".to_owned()),
    ] {
        let refused = world.send(method.clone(), &path, &headers, None).await;
        let told = (refused.status.as_u16(), refused.code().to_owned());
        assert_eq!(told, (400, "invalid_query".to_owned()), "{method} {path}");
    }
    let still = world.get(&owner, &keyed).await;
    assert_eq!(still.body["status"], "active", "nothing was changed");
}

#[tokio::test]
async fn the_document_describes_every_route_and_is_open() {
    let world = World::new().await;
    let answer = world.send(Method::GET, "/api/manage/v1/openapi.json", &[], None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let paths = answer.body["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 31);
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            let filled = path.replace("{id}", "x").replace("{appKey}", "x");
            let method: Method = method.to_uppercase().parse().expect("a method");
            let refused = world.send(method.clone(), &filled, &[], None).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}
