//! Running an action: what goes in, what comes out, and every way it can fail.

use keystile_contract::{Failure, status::Fault};
use keystile_domain::{ErrorKind, Refusal};
use keystile_gateway::Limits;
use serde_json::json;

use crate::support::{ECHO, TOKEN, World, app, at, config, decide, refuse};

const HELLO: &str = r#"{"inputs":{"message":"hello"}}"#;

#[tokio::test]
async fn an_answer_of_the_app_comes_back_as_it_was() {
    let world = World::new().await;
    // More digits than a reader of floats keeps.
    let outputs = r#"{"id":12345678901234567890123,"price":0.10,"z":1,"a":2}"#;
    world.act(move |_| app(201, outputs));
    let answer = world.echo().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!(r#"{{"outputs":{outputs}}}"#));
    let ran = world.ran();
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0].component, "action.sandbox.echo");
    assert_eq!(ran[0].inputs, json!({"message": "hello"}));
    assert_eq!(ran[0].capability.component.as_str(), "action.sandbox.echo");
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].question.component, "action.sandbox.echo");
    assert_eq!(asked[0].question.capability_audience, "vault");
    assert!(asked[0].question.at_least.is_none());
    for empty in ["null", "\"plain\"", "[]"] {
        world.act(move |_| app(204, empty));
        let body = world.echo().await.body;
        assert_eq!(String::from_utf8(body).unwrap(), format!(r#"{{"outputs":{empty}}}"#));
    }
}

#[tokio::test]
async fn an_error_of_the_app_is_told_as_the_app_s() {
    let world = World::new().await;
    for status in [301, 400, 401, 404, 429, 500, 503] {
        world.act(move |_| app(status, r#"{"message":"no such note"}"#));
        let answer = world.echo().await;
        assert_eq!((answer.status, &*answer.code()), (502, "app_error"));
        assert_eq!(answer.json()["upstreamStatus"], status);
        assert_eq!(answer.json()["outputs"], json!({"message": "no such note"}));
    }
    for (status, outputs) in
        [(0, "{}"), (199, "{}"), (600, "{}"), (200, ""), (200, "{"), (500, "x")]
    {
        world.act(move |_| app(status, outputs));
        let answer = world.echo().await;
        assert_eq!((answer.status, &*answer.code()), (500, "internal"), "{status} {outputs}");
    }
}

/// Threat 34, and faults by their pointers.
#[tokio::test]
async fn a_bad_body_runs_nothing_and_is_told_where_it_is_bad() {
    let world = World::new().await;
    let deep = format!(r#"{{"inputs":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for (body, status, code, pointer) in [
        ("", 400, "invalid_json", None),
        ("{", 400, "invalid_json", None),
        (r#"{"inputs":{},"inputs":{}}"#, 400, "invalid_json", None),
        (r#"{"inputs":{"message":"a","message":"b"}}"#, 400, "invalid_json", None),
        (&*deep, 400, "invalid_json", None),
        ("{}", 422, "invalid_request", Some("/inputs")),
        ("[]", 422, "invalid_request", Some("")),
        (r#"{"inputs":[]}"#, 422, "invalid_request", Some("/inputs")),
        (r#"{"inputs":null}"#, 422, "invalid_request", Some("/inputs")),
        (
            r#"{"inputs":{"message":"x"},"connectionId":"conn_x"}"#,
            422,
            "invalid_request",
            Some("/connectionId"),
        ),
        (r#"{"inputs":{"message":"x"},"teamId":"t"}"#, 422, "invalid_request", Some("/teamId")),
        (r#"{"inputs":{}}"#, 422, "invalid_inputs", Some("/inputs/message")),
        (r#"{"inputs":{"message":7}}"#, 422, "invalid_inputs", Some("/inputs/message")),
        (
            r#"{"inputs":{"message":"x","admin":true}}"#,
            422,
            "invalid_inputs",
            Some("/inputs/admin"),
        ),
    ] {
        let headers = [("x-api-key", TOKEN), ("content-type", "application/json")];
        let answer = world.send("POST", ECHO, &headers, body).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{body}");
        let found = answer.json()["errors"][0]["pointer"].as_str().map(str::to_owned);
        assert_eq!(found.as_deref(), pointer, "{body}");
    }
    let tags = r#"{"inputs":{"title":"t","tags":["ok",7]}}"#;
    let answer = world.post("/api/v1/components/action.sandbox.create-note/run", tags).await;
    assert_eq!(answer.code(), "invalid_inputs");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/inputs/tags/1");
    assert!(answer.json()["errors"][0]["detail"].is_string());
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let headers = [("x-api-key", TOKEN), ("content-type", kind)];
        let answer = world.send("POST", ECHO, &headers, HELLO).await;
        assert_eq!((answer.status, &*answer.code()), (415, "unsupported_media_type"));
    }
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn an_idempotency_key_is_refused_rather_than_ignored() {
    let world = World::new().await;
    let headers =
        [("x-api-key", TOKEN), ("content-type", "application/json"), ("idempotency-key", "1")];
    let answer = world.send("POST", ECHO, &headers, HELLO).await;
    assert_eq!((answer.status, &*answer.code()), (400, "idempotency_not_supported"));
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn a_trigger_does_not_run() {
    let world = World::new().await;
    let path = "/api/v1/components/trigger.github.push/run";
    assert_eq!(world.post(path, r#"{"inputs":{}}"#).await.code(), "component_not_allowed");
    world.decide(|question| {
        let mut alone = question.clone();
        alone.component = String::new();
        decide(&alone)
    });
    let answer = world.post(path, r#"{"inputs":{}}"#).await;
    assert_eq!((answer.status, &*answer.code()), (409, "not_runnable"));
    assert!(world.asked().iter().all(|asked| asked.question.capability_audience.is_empty()));
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn a_stale_capability_is_renewed_once() {
    let world = World::new().await;
    world.act(|ran| match ran.capability.as_of.seq {
        7.. => app(200, "true"),
        _ => Err(Failure::stale_capability(&at(7)).into()),
    });
    assert_eq!(world.echo().await.json(), json!({"outputs": true}));
    let asked = world.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].question.at_least.is_none());
    let at_least = asked[1].question.at_least.as_ref().unwrap();
    assert_eq!((at_least.history.clone(), at_least.seq), (at(7).history.to_string(), 7));
    assert_eq!(asked[1].question.component, "action.sandbox.echo");
    assert_eq!(world.ran().len(), 2);

    world.act(|ran| Err(Failure::stale_capability(&at(ran.capability.as_of.seq + 1)).into()));
    let answer = world.echo().await;
    assert_eq!((answer.status, &*answer.code()), (503, "access_changing"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!((world.asked().len(), world.ran().len()), (2, 2));

    world.decide(|question| match question.at_least {
        Some(_) => refuse(Refusal::Revoked),
        None => decide(question),
    });
    let answer = world.echo().await;
    assert_eq!((answer.status, &*answer.code()), (401, "revoked"));
    assert_eq!(world.ran().len(), 1);
}

#[tokio::test]
async fn every_failure_of_vault_has_its_status_and_code() {
    let world = World::new().await;
    for kind in ErrorKind::ALL {
        let expected = match kind {
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Internal => (500, "internal"),
            ErrorKind::NotFound | ErrorKind::Conflict => (409, "connection_unusable"),
            ErrorKind::Stale => (503, "access_changing"),
            ErrorKind::Upstream => (502, "app_unreachable"),
            ErrorKind::Timeout => (504, "app_timeout"),
            ErrorKind::Unavailable | ErrorKind::Exhausted => (503, "vault_unavailable"),
        };
        let reason = if kind == ErrorKind::Stale { "stale_capability" } else { "some_reason" };
        world.act(move |_| Err(Failure::new(kind, reason, "a message").into()));
        let answer = world.echo().await;
        assert_eq!((answer.status, &*answer.code()), expected, "{kind:?}");
        assert_eq!(answer.header("retry-after").is_some(), expected.0 == 503, "{kind:?}");
        assert_eq!(world.ran().len(), 1, "{kind:?} is not tried again");
    }
    world.act(|_| {
        let mut failure = Failure::new(ErrorKind::Invalid, "invalid_inputs", "bad");
        failure.faults.push(Fault { field: "/message".into(), message: "is bad".into() });
        Err(failure.into())
    });
    let answer = world.echo().await;
    assert_eq!((answer.status, &*answer.code()), (422, "invalid_inputs"));
    assert_eq!(
        answer.json()["errors"],
        json!([{"pointer": "/inputs/message", "detail": "is bad"}])
    );
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_waited_for_no_longer_than_configured() {
    let limits = Limits { request_timeout_seconds: 1, ..Limits::default() };
    let world = World::with(config(|config| config.limits = limits)).await;
    world.stick();
    let answer = world.echo().await;
    assert_eq!((answer.status, &*answer.code()), (504, "app_timeout"));
    assert_eq!(world.ran()[0].metadata.get("grpc-timeout").unwrap(), "1000000u");
}
