//! `/integrations`: what goes in, what comes out, and what is said when it does not work.

use axum::http::{Method, StatusCode};
use keystile_contract::{Failure, proto::vault::v1::StartConnectRequest, status::Fault};
use keystile_domain::{Clock as _, ConnectionId, ErrorKind};
use keystile_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::world::{Answer, World, new_integration};

const INTEGRATIONS: &str = "/api/manage/v1/integrations";

/// The path of a new integration.
async fn made(world: &World, token: &str, body: Value) -> String {
    let made = world.post(token, INTEGRATIONS, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    format!("{INTEGRATIONS}/{}", made.body["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_client_secret_goes_in_and_never_comes_out() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let id = path.rsplit('/').next().expect("an id").to_owned();
    assert_eq!(world.vault.rows().secrets, ["s3cret"]);
    let shown = world.get(&owner, &path).await;
    assert_eq!(
        shown.body,
        json!({
            "id": id, "appKey": "slack", "name": "Our client", "status": "draft",
            "statusReason": null, "grantType": "authorization_code", "clientId": "client-1",
            "hasClientSecret": true, "scopes": [], "returnUrls": [], "version": 1,
            "callbackUrl": format!("https://gateway.example.com/connect/callback/{id}"),
            "createdAt": "2026-01-01T12:00:00Z",
        })
    );
    let secret = json!({"clientSecret": "s3cret-2"});
    for told in [
        shown,
        world.get(&owner, INTEGRATIONS).await,
        world.patch(&owner, &path, secret).await,
        world.act(&owner, Method::POST, &format!("{path}/check")).await,
        world.act(&owner, Method::POST, &format!("{path}/disable")).await,
        world.act(&owner, Method::POST, &format!("{path}/enable")).await,
        world.act(&owner, Method::DELETE, &path).await,
    ] {
        assert_eq!(told.status, StatusCode::OK);
        assert!(!told.text.contains("s3cret"), "{}", told.text);
    }
    assert_eq!(world.get(&owner, &path).await.status, StatusCode::NOT_FOUND);

    let client = json!({
        "appKey": "slack", "name": "n", "clientId": "c", "grantType": "client_credentials",
        "clientSecret": "s", "scopes": ["a"], "returnUrls": ["https://a.example/done"],
    });
    let shown = world.get(&owner, &made(&world, &owner, client).await).await.body;
    assert_eq!(shown["grantType"], "client_credentials");
    assert_eq!(shown["callbackUrl"], Value::Null, "no browser comes back");
    assert_eq!(
        (&shown["scopes"], &shown["returnUrls"]),
        (&json!(["a"]), &json!(["https://a.example/done"]))
    );
    let other = world.get(&owner, &format!("{INTEGRATIONS}?app=github")).await;
    assert_eq!(other.body["items"], json!([]));
}

#[tokio::test]
async fn a_change_tells_absent_from_null_and_may_name_the_version_it_saw() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let mut body = new_integration();
    body["scopes"] = json!(["a", "b"]);
    body["returnUrls"] = json!(["https://a.example/"]);
    let path = made(&world, &owner, body).await;
    let changed = world.patch(&owner, &path, json!({"name": "Renamed", "version": 1})).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let told = &changed.body;
    assert_eq!((&told["name"], &told["version"]), (&json!("Renamed"), &json!(2)));
    assert_eq!((&told["hasClientSecret"], &told["scopes"]), (&json!(true), &json!(["a", "b"])));
    assert_eq!(world.vault.rows().secrets, ["s3cret"], "what is absent is not sent");

    let late = world.patch(&owner, &path, json!({"name": "Late", "version": 1})).await;
    assert_eq!((late.status.as_u16(), late.code()), (409, "integration_changed"));
    assert_eq!(world.get(&owner, &path).await.body["name"], "Renamed");

    let removed = json!({"clientSecret": null, "scopes": null, "returnUrls": null});
    let told = world.patch(&owner, &path, removed).await.body;
    assert_eq!(told["hasClientSecret"], false);
    assert_eq!((&told["scopes"], &told["returnUrls"]), (&json!([]), &json!([])));
    assert_eq!(world.vault.rows().secrets, ["s3cret", ""]);

    for (body, pointer) in [
        (json!({"clientSecret": ""}), "/clientSecret"),
        (json!({"clientSecret": {"x": "s3cret"}}), "/clientSecret"),
        (json!({"name": null}), "/name"),
        (json!({"clientId": null}), "/clientId"),
        (json!({"version": 0}), "/version"),
        (json!({"version": null}), "/version"),
        (json!({"status": "configured"}), "/status"),
        (json!({"grantType": "client_credentials"}), "/grantType"),
        (json!({"appKey": "github"}), "/appKey"),
        (json!({"hasClientSecret": true}), "/hasClientSecret"),
    ] {
        let refused = world.patch(&owner, &path, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid_request"), "{body}");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{body}");
        assert!(!refused.text.contains("s3cret"), "{}", refused.text);
    }
    assert_eq!(world.get(&owner, &path).await.body, told, "nothing was changed");
}

#[tokio::test]
async fn what_nobody_may_say_of_a_new_client_is_refused() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    for (member, value) in [
        ("id", json!("int_1")),
        ("teamId", json!("team_1")),
        ("status", json!("configured")),
        ("statusReason", json!("")),
        ("callbackUrl", json!("https://evil.example/")),
        ("version", json!(7)),
        ("grantType", json!("password")),
        ("appKey", json!("../x")),
        ("clientSecret", json!("")),
        ("scopes", json!("a b")),
        ("clientId", Value::Null),
    ] {
        let mut body = new_integration();
        body[member] = value;
        let refused = world.post(&owner, INTEGRATIONS, body).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid_request"), "{member}");
        assert_eq!(refused.body["errors"][0]["pointer"], format!("/{member}"));
        assert!(!refused.text.contains("s3cret"));
    }
    assert_eq!(world.get(&owner, INTEGRATIONS).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_check_says_what_the_provider_said() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let checked = world.act(&owner, Method::POST, &format!("{path}/check")).await.body;
    assert_eq!(
        (&checked["ok"], &checked["integration"]["status"]),
        (&json!(true), &json!("configured"))
    );
    let mut body = new_integration();
    body["clientId"] = json!("unknown");
    let path = made(&world, &owner, body).await;
    let checked = world.act(&owner, Method::POST, &format!("{path}/check")).await;
    assert_eq!(checked.status, StatusCode::OK, "the check was made");
    assert_eq!(checked.body["ok"], false);
    assert_eq!(checked.body["detail"], "it answered invalid_client");
    assert_eq!(checked.body["integration"]["statusReason"], "client_refused");
}

#[tokio::test]
async fn switching_and_deleting_answer_as_cuts_do() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let switch = |verb: &str| {
        let (world, owner, path) = (&world, &owner, format!("{path}/{verb}"));
        async move { world.act(owner, Method::POST, &path).await }
    };
    let done = switch("disable").await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::OK, &json!("done")));
    assert_eq!(done.body["integration"]["status"], "disabled");
    assert_eq!(done.body["receipt"]["acknowledged"], 3);
    assert_eq!(switch("enable").await.body["integration"]["status"], "configured");

    world.vault.rows().pending = true;
    let is_pending = |answer: Answer| {
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (StatusCode::ACCEPTED, &json!("pending"))
        );
        assert!(answer.body["operationId"].as_str().is_some_and(|id| id.starts_with("op_")));
        assert_eq!(answer.body["receipt"], Value::Null);
    };
    is_pending(switch("disable").await);
    is_pending(switch("enable").await);
    is_pending(world.act(&owner, Method::DELETE, &path).await);
    assert_eq!(world.get(&owner, &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn connecting_gives_one_browser_a_way() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let connect = format!("{path}/connect");
    let body = json!({
        "name": "Ada", "serverVariables": {"shop": "acme"}, "returnUrl": "https://a.example/",
    });
    // The answer of every route is `no-store`: the world looks.
    let started = world.post(&owner, &connect, body).await;
    assert_eq!(started.status, StatusCode::CREATED, "{started:?}");
    assert_eq!(
        started.body,
        json!({
            "url": format!("https://gateway.example.com/connect/{id}?ticket=t1"),
            "expiresAt": "2026-01-01T12:10:00Z",
        })
    );
    let connection = ConnectionId::generate(world.clock.now(), &SeededEntropy::new(5)).to_string();
    let again = world.post(&owner, &connect, json!({"connectionId": connection})).await;
    assert_eq!(again.status, StatusCode::CREATED);
    let start = StartConnectRequest { integration_id: id, ..StartConnectRequest::default() };
    let expected = [
        StartConnectRequest {
            name: "Ada".to_owned(),
            server_variables: [("shop".to_owned(), "acme".to_owned())].into(),
            return_url: "https://a.example/".to_owned(),
            ..start.clone()
        },
        StartConnectRequest { connection_id: connection.clone(), ..start },
    ];
    assert_eq!(world.vault.rows().started, expected);

    for (body, pointer) in [
        (json!({}), ""),
        (json!({"name": "Ada", "connectionId": connection}), ""),
        (json!({"connectionId": "conn_x"}), "/connectionId"),
        (json!({"connectionId": connection, "serverVariables": {"a": "b"}}), "/serverVariables"),
        (json!({"name": "Ada", "scopes": ["admin"]}), "/scopes"),
        (json!({"name": "Ada", "integrationId": "int_1"}), "/integrationId"),
    ] {
        let refused = world.post(&owner, &connect, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid_request"), "{body}");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(world.vault.rows().started.len(), 2);
}

#[tokio::test]
async fn a_refusal_names_the_permission_that_is_missing() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let (viewer, developer) =
        (world.token(&owner, "viewer").await, world.token(&owner, "developer").await);
    for (verb, action) in
        [(Method::DELETE, ""), (Method::POST, "/check"), (Method::POST, "/disable")]
    {
        let refused = world.act(&developer, verb, &format!("{path}{action}")).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "permission_denied"));
        assert_eq!(refused.body["required"], "integrations_write");
    }
    let body = json!({"name": "Ada"});
    let refused = world.post(&viewer, &format!("{path}/connect"), body).await;
    assert_eq!(refused.body["required"], "connections_write");
    assert_eq!(world.get(&owner, &path).await.body["status"], "draft");
    assert!(world.vault.rows().started.is_empty());
}

#[tokio::test]
async fn what_vault_says_is_told_with_its_status_and_the_member_of_the_body() {
    let world = World::new().await;
    let (_, owner) = world.team("ada@example.com").await;
    let path = made(&world, &owner, new_integration()).await;
    let connect = format!("{path}/connect");
    let create = (
        "/api/manage/v1/connections",
        json!({
            "appKey": "slack", "name": "c", "credential": {"fields": {"api_key": "s3cret"}},
        }),
    );
    let (name, new) = (json!({"name": "n"}), new_integration());
    let fault = |field: &str| Failure::invalid(field, "is bad");
    let failure = |kind, reason: &str| Failure::new(kind, reason, "a sentence");
    let conflict = |reason| failure(ErrorKind::Conflict, reason);
    let missing = |reason| failure(ErrorKind::NotFound, reason);
    for (path, body, refusal, status, code, pointer) in [
        (INTEGRATIONS, &new, fault("client_id"), 422, "invalid_request", "/clientId"),
        (INTEGRATIONS, &new, fault("client_secret"), 422, "invalid_request", "/clientSecret"),
        (INTEGRATIONS, &new, fault("scopes[1]"), 422, "invalid_request", "/scopes/1"),
        (INTEGRATIONS, &new, fault("return_urls[0]"), 422, "invalid_request", "/returnUrls/0"),
        (INTEGRATIONS, &new, fault("grant_type"), 422, "invalid_request", "/grantType"),
        (INTEGRATIONS, &new, missing("unknown_app"), 422, "invalid_request", "/appKey"),
        (&connect, &name, fault("return_url"), 422, "invalid_request", "/returnUrl"),
        (&connect, &name, fault("integration_id"), 422, "invalid_request", ""),
        (&connect, &name, fault("server_variables"), 422, "invalid_request", "/serverVariables"),
        (&connect, &name, missing("connection_not_found"), 422, "invalid_request", "/connectionId"),
        (&connect, &name, missing("integration_not_found"), 404, "not_found", ""),
        (
            &connect,
            &name,
            conflict("integration_not_configured"),
            409,
            "integration_not_configured",
            "",
        ),
        (
            create.0,
            &create.1,
            fault("credential.fields.api_key"),
            422,
            "invalid_request",
            "/credential/fields/api_key",
        ),
        (
            create.0,
            &create.1,
            fault("credential.integration_id"),
            422,
            "invalid_request",
            "/credential/integrationId",
        ),
        (
            create.0,
            &create.1,
            missing("integration_not_found"),
            422,
            "invalid_request",
            "/credential/integrationId",
        ),
        (create.0, &create.1, missing("unknown_app"), 422, "invalid_request", "/appKey"),
        (
            create.0,
            &create.1,
            failure(ErrorKind::Upstream, "provider_error"),
            502,
            "provider_error",
            "",
        ),
        (create.0, &create.1, conflict("integration_changed"), 409, "integration_changed", ""),
        (
            create.0,
            &create.1,
            failure(ErrorKind::Unavailable, "unavailable"),
            503,
            "unavailable",
            "",
        ),
    ] {
        let told = format!("{path}: {refusal:?}");
        world.vault.rows().refusal = Some(refusal);
        let answer = world.post(&owner, path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{told}");
        let found = answer.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(found, pointer, "{told}");
        assert!(!answer.text.contains("s3cret"), "{told}");
    }

    // A cursor of another list, and what only one verb is told.
    let cursor = Failure {
        faults: vec![Fault { field: "page_token".into(), message: "bad".into() }],
        ..fault("x")
    };
    world.vault.rows().refusal = Some(cursor);
    let refused = world.get(&owner, &format!("{INTEGRATIONS}?cursor=x")).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "invalid_cursor"));
    world.vault.rows().refusal = Some(conflict("integration_in_use"));
    let refused = world.act(&owner, Method::DELETE, &path).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "integration_in_use"));
}
