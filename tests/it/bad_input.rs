//! What a careless or hostile client sends, at both doors: a clear answer, and nothing changed.

use keystile_tests::{Api, Cluster, raw};
use reqwest::Method;
use serde_json::{Value, json};

const RUN: &str = "/api/v1/components/action.sandbox.echo/run";

/// What a caller can see of a team: if it is the same before and after, nothing changed.
async fn state(manage: &Api) -> (Value, Value, Value) {
    let keys = manage.get("/api/manage/v1/keys?page_size=200").await.expect(200);
    let connections = manage.get("/api/manage/v1/connections").await.expect(200);
    let audit = manage.get("/api/manage/v1/audit?page_size=200").await.expect(200);
    let mut connections = connections.json;
    for item in connections["items"].as_array_mut().expect("items") {
        // Moves with every call that goes out, which is no change of the team's.
        item["lastUsedAt"] = Value::Null;
    }
    (keys.json, connections, audit.json)
}

#[tokio::test]
async fn tokens_that_are_not_ours_or_not_whole_are_refused_alike() {
    let cluster = Cluster::start().await;
    let token = cluster.demo("KEYSTILE_DEMO_TOKEN");
    let foreign = "ks_prod_01pd8VsbgMUpQUhe_00yhjskwdA6OZ1AL1YmHWZWm8LLG8GnCAEM0TcY1TAjwE3iCQ5R";
    let mut altered = token.clone();
    let last = if altered.ends_with('0') { "1" } else { "0" };
    altered.replace_range(altered.len() - 1.., last);
    let long = format!("{token}{}", "0".repeat(10_000));
    let bad = [
        "ks_dev_",
        "ks_",
        "x",
        foreign,
        &altered,
        &token[..token.len() - 1],
        &long,
        &token.to_uppercase(),
    ];
    for text in bad {
        let refused = cluster.gateway().with_token(text).get("/api/v1/me").await;
        let status = refused.status.as_u16();
        assert!(status == 401 || (status == 431 && text.len() > 8_000), "{text}: {}", refused.text);
        if status == 401 {
            let challenge = refused.headers.get("www-authenticate").expect("a challenge");
            assert!(challenge.to_str().is_ok_and(|text| text.starts_with("Bearer")));
            let _ = refused.expect_problem(401, "invalid");
        }
    }
}

#[tokio::test]
async fn credentials_of_one_door_do_not_open_the_other() {
    let cluster = Cluster::start().await;
    let management = cluster.demo("KEYSTILE_DEMO_MANAGEMENT_TOKEN");
    let token = cluster.demo("KEYSTILE_DEMO_TOKEN");
    let _ = cluster.gateway().with_token(&management).get("/api/v1/me").await.expect(401);
    let _ = cluster.console().with_token(&token).get("/api/manage/v1/keys").await.expect(401);
    let _ = cluster.gateway().get("/api/v1/me").await.expect(401);
    let _ = cluster.console().get("/api/manage/v1/keys").await.expect(401);
}

#[tokio::test]
async fn two_credentials_in_one_request_are_refused() {
    let cluster = Cluster::start().await;
    let token = cluster.demo("KEYSTILE_DEMO_TOKEN");
    let address = cluster.gateway_address();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let key = format!("X-API-Key: {token}\r\n");
    for (headers, expected) in [
        (bearer.clone(), 200),
        (key.clone(), 200),
        (format!("{bearer}{bearer}"), 400),
        (format!("{bearer}{key}"), 400),
        (format!("{key}{key}"), 400),
        (format!("Authorization: Basic {token}\r\n"), 401),
    ] {
        let request = format!(
            "GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        let answer = raw::exchange(address, request.as_bytes()).await.expect("an answer");
        assert_eq!(raw::status(&answer), expected, "{answer}");
    }
}

#[tokio::test]
async fn component_ids_are_read_by_their_grammar_alone() {
    let cluster = Cluster::start().await;
    let token = cluster.demo("KEYSTILE_DEMO_TOKEN");
    let ids = [
        "action.sandbox.echo%2Frun",
        "action.sandbox.echo%2frun",
        "..%2faction.sandbox.echo",
        "action.sandbox.echo%00",
        "action.sandbox.%65cho%252F",
        "action.sandbox.ech%D0%BE",
        "action.sandbox..",
        "action.sandbox.echo.",
        "ACTION.sandbox.echo",
        "action.sandbox.echo%0a",
        "action.sandbox.unknown",
        "%2e%2e",
        "trigger.sandbox.echo",
        "action.sandbox.echo%ff",
    ];
    for id in ids {
        for path in
            [format!("/api/v1/components/{id}/run"), format!("/api/v1/components/details/{id}")]
        {
            let method = if path.ends_with("/run") { "POST" } else { "GET" };
            let body = r#"{"inputs":{"message":"x"}}"#;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = raw::exchange(cluster.gateway_address(), request.as_bytes())
                .await
                .expect("an answer");
            let status = raw::status(&answer);
            assert!((400..500).contains(&status), "{path}: {answer}");
            assert!(answer.contains("application/problem+json"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn bad_bodies_at_the_gateway_are_named_and_run_nothing() {
    let cluster = Cluster::start().await;
    let key = cluster.gateway().with_token(&cluster.demo("KEYSTILE_DEMO_TOKEN"));
    let missing = key.post(RUN, &json!({"inputs": {}})).await.expect(422);
    assert_eq!(missing.json["errors"][0]["pointer"], "/inputs/message", "{}", missing.text);
    let wrong = key.post(RUN, &json!({"inputs": {"message": 7}})).await.expect(422);
    assert_eq!(wrong.json["errors"][0]["pointer"], "/inputs/message", "{}", wrong.text);
    let unknown = key.post(RUN, &json!({"inputs": {"message": "x"}, "admin": true})).await;
    let _ = unknown.expect_problem(422, "invalid_request");
    let extra = key.post(RUN, &json!({"inputs": {"message": "x", "extra": 1}})).await.expect(422);
    assert!(extra.text.contains("extra"), "{}", extra.text);

    let deep = format!("{}1{}", "{\"inputs\":".repeat(5_000), "}".repeat(5_000));
    let huge = format!(r#"{{"inputs":{{"message":"{}"}}}}"#, "x".repeat(3 << 20));
    let twice = r#"{"inputs":{"message":"a"},"inputs":{"message":"b"}}"#;
    for (kind, body, expected) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", deep, 400),
        ("application/json", huge, 413),
        ("application/json", twice.to_owned(), 400),
        ("application/json", String::new(), 400),
        ("text/plain", r#"{"inputs":{"message":"x"}}"#.to_owned(), 415),
        ("application/x-www-form-urlencoded", "inputs=x".to_owned(), 415),
    ] {
        let request = format!(
            "POST {RUN} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            cluster.demo("KEYSTILE_DEMO_TOKEN"),
            body.len()
        );
        let answer =
            raw::exchange(cluster.gateway_address(), request.as_bytes()).await.expect("an answer");
        assert_eq!(raw::status(&answer), expected, "{kind}: {answer}");
    }
}

#[tokio::test]
async fn bad_keys_are_refused_by_field_and_nothing_is_created() {
    let (cluster, teams) = Cluster::start_with(&["other"]).await;
    let manage = cluster.manage();
    let foreign = cluster.console().with_token(&teams[0].token);
    let foreign_connection = cluster.sandbox_connection(&foreign).await;
    let connection = cluster.sandbox_connection(&manage).await;
    let grant = json!({
        "appKey": "sandbox", "connectionId": connection,
        "allowedComponents": ["action.sandbox.echo"],
    });
    let good = json!({"name": "n", "environment": "dev", "connections": [grant]});
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        match body.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => body[&pointer[1..]] = value,
        }
        body
    };
    let before = state(&manage).await;
    let bad = [
        ("empty name", with("/name", json!(""))),
        ("control character", with("/name", json!("a\u{0}b"))),
        ("line break", with("/name", json!("a\nb"))),
        ("markup", with("/name", json!("<script>alert(1)</script>"))),
        ("long name", with("/name", json!("x".repeat(10_000)))),
        ("name of another type", with("/name", json!(7))),
        ("unknown environment", with("/environment", json!("production"))),
        ("expiry in the past", with("/expiresAt", json!("2020-01-01T00:00:00Z"))),
        ("expiry that is no date", with("/expiresAt", json!("tomorrow"))),
        ("unknown field", with("/isAdmin", json!(true))),
        ("a team of one's choice", with("/teamId", json!("team_00000000000000000000000000"))),
        ("no grant", with("/connections", json!([]))),
        ("two grants for one app", with("/connections", json!([grant, grant]))),
        ("empty grant", with("/connections/0/allowedComponents", json!([]))),
        (
            "unknown component",
            with("/connections/0/allowedComponents", json!(["action.sandbox.nothing"])),
        ),
        (
            "component of another app",
            with("/connections/0/allowedComponents", json!(["action.slack.post-message"])),
        ),
        ("malformed component", with("/connections/0/allowedComponents", json!(["../echo"]))),
        ("unknown app", with("/connections/0/appKey", json!("nothing"))),
        (
            "another team's connection",
            with("/connections/0/connectionId", json!(foreign_connection)),
        ),
        (
            "unknown connection",
            with("/connections/0/connectionId", json!("conn_00000000000000000000000000")),
        ),
        ("malformed connection", with("/connections/0/connectionId", json!("conn_1"))),
        ("no connection where one is needed", with("/connections/0/connectionId", Value::Null)),
        ("IP list of nonsense", with("/ipAllowList", json!(["300.1.1.1"]))),
        ("limit of zero", with("/limits", json!({"requestsPerMinute": 0}))),
        ("an array", json!([])),
        ("null", Value::Null),
    ];
    for (what, body) in bad {
        let refused = manage.post("/api/manage/v1/keys", &body).await;
        assert!(refused.status.is_client_error(), "{what}: {} {}", refused.status, refused.text);
        assert!(!refused.code().is_empty(), "{what}: {}", refused.text);
        assert!(refused.json["requestId"].is_string(), "{what}: {}", refused.text);
    }
    let sandbox = with("/connections/0/appKey", json!("github"));
    let _ = manage.post("/api/manage/v1/keys", &sandbox).await.expect(422);
    assert_eq!(state(&manage).await, before);
    let _ = manage.post("/api/manage/v1/keys", &good).await.expect(201);
}

#[tokio::test]
async fn a_repeated_create_is_refused_and_never_shows_the_token_again() {
    let cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let body = json!({"name": "once", "environment": "dev", "connections": [{
        "appKey": "sandbox", "connectionId": connection, "allowedComponents": ["action.sandbox.echo"],
    }]});
    let headers = [("idempotency-key", "create-once")];
    let path = "/api/manage/v1/keys";
    let made = manage.try_send(Method::POST, path, &headers, Some(&body)).await.expect("an answer");
    let made = made.expect(201);
    let token = made.json["token"].as_str().expect("a token");
    for _ in 0..2 {
        let again = manage.try_send(Method::POST, path, &headers, Some(&body)).await;
        let again = again.expect("an answer").expect_problem(409, "operation_repeated");
        assert_eq!(again.json["keyId"], made.json["key"]["id"], "{}", again.text);
        assert!(!again.text.contains(&token[25..]), "{}", again.text);
    }
}
