//! `Idempotency-Key` from outside: through gateway, verification and vault to the app.

use keystile_tests::Cluster;
use reqwest::Method;
use serde_json::json;

const CREATE: &str = "/api/v1/components/action.sandbox.create-note/run";
const LIST: &str = "/api/v1/components/action.sandbox.list-notes/run";

#[tokio::test]
async fn a_request_that_is_repeated_happens_once_and_only_for_a_key_that_still_may() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    // An account of its own, so that its notes can be counted.
    let body = json!({
        "appKey": "sandbox", "name": "counted",
        "credential": {"bearerToken": "sandbox_counted_0123456789abcdef"},
    });
    let made = manage.post("/api/manage/v1/connections", &body).await.expect(201);
    let connection = made.json["id"].as_str().expect("an id").to_owned();
    let components = ["action.sandbox.create-note", "action.sandbox.list-notes"];
    let (key, token) = cluster.key(&manage, &connection, &components).await;
    let caller = cluster.gateway().with_token(&token);
    let create = async |title: &str| {
        let (headers, body) =
            ([("idempotency-key", "\"order 7\"")], json!({"inputs": {"title": title}}));
        caller.try_send(Method::POST, CREATE, &headers, Some(&body)).await.expect("an answer")
    };

    let first = create("tea").await.expect(200);
    assert_eq!(first.headers["keystile-upstream-status"], "201");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = create("tea").await.expect(200);
    assert_eq!(
        (&again.json, &again.headers["idempotency-replayed"]),
        (&first.json, &"true".parse().expect("a value"))
    );
    let _ = create("coffee").await.expect_problem(422, "idempotency_key_reused");
    let notes = caller.post(LIST, &json!({"inputs": {}})).await.expect(200);
    let count = notes.json["outputs"]["notes"].as_array().map(Vec::len);
    assert_eq!(count, Some(1), "{}", notes.text);

    let revoke = format!("/api/manage/v1/keys/{key}/revoke");
    let _ = manage.post(&revoke, &json!({})).await.expect(200);
    let _ = create("tea").await.expect_problem(401, "revoked");
}
