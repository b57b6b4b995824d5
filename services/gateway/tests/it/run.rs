//! Running an action: what goes in, what comes out, and every way it can fail.

use std::time::Duration;

use keystile_contract::{
    Failure,
    proto::vault::v1::{RunActionResponse, UpstreamHeader},
    status::Fault,
};
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
async fn an_idempotency_key_goes_to_vault_and_a_bad_one_nowhere() {
    let world = World::new().await;
    let send = async |keys: &[&str]| {
        let mut headers = vec![("x-api-key", TOKEN), ("content-type", "application/json")];
        headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
        world.send("POST", ECHO, &headers, HELLO).await
    };
    for (keys, expected) in
        [(&[][..], ""), (&["order-1"], "order-1"), (&["\"order 1\""], "order 1")]
    {
        assert_eq!(send(keys).await.status, 200);
        assert_eq!(world.ran()[0].idempotency_key, expected);
    }
    for (keys, code) in [
        (&["a b"][..], "invalid_idempotency_key"),
        (&["\"\""], "invalid_idempotency_key"),
        (&["a\u{e9}"], "invalid_idempotency_key"),
        (&[&"x".repeat(256)], "invalid_idempotency_key"),
        (&["a", "a"], "duplicate_header"),
        (&["a", "b"], "duplicate_header"),
    ] {
        let answer = send(keys).await;
        assert_eq!((answer.status, &*answer.code()), (400, code), "{keys:?}");
    }
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn a_renewed_capability_runs_under_the_same_idempotency_key() {
    let world = World::new().await;
    world.act(|ran| match ran.capability.as_of.seq {
        7.. => app(200, "true"),
        _ => Err(Failure::stale_capability(&at(7)).into()),
    });
    let headers =
        [("x-api-key", TOKEN), ("content-type", "application/json"), ("idempotency-key", "1")];
    assert_eq!(world.send("POST", ECHO, &headers, HELLO).await.status, 200);
    let keys: Vec<_> = world.ran().into_iter().map(|ran| ran.idempotency_key).collect();
    assert_eq!(keys, ["1", "1"]);
}

/// The body's shape is fixed, so what else is known of the app's answer is in headers.
#[tokio::test]
async fn what_the_app_said_beside_its_body_is_in_headers() {
    let header =
        |name: &str, value: &str| UpstreamHeader { name: name.into(), value: value.into() };
    let seconds = |seconds| keystile_contract::convert::duration(Duration::from_secs(seconds));
    for status in [200, 429] {
        let world = World::new().await;
        let answer = RunActionResponse {
            status,
            outputs_json: b"{}".to_vec(),
            headers: vec![
                header("etag", "\"7\""),
                header("link", "<a>; rel=\"next\""),
                header("link", "<b>; rel=\"last\""),
                header("bad name", "x"),
                header("bad-value", "a\nb"),
            ],
            retry_after: Some(seconds(42)),
            replayed: status == 429,
        };
        world.act(move |_| Ok(answer.clone()));
        let answer = world.echo().await;
        let told = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(told("keystile-upstream-status"), status.to_string());
        assert_eq!(told("keystile-upstream-etag"), "\"7\"");
        assert_eq!(told("keystile-upstream-link"), "<a>; rel=\"next\", <b>; rel=\"last\"");
        assert_eq!(told("keystile-upstream-retry-after"), "42");
        assert_eq!(told("keystile-upstream-bad-value"), "");
        let (error, retry_after, replayed) =
            if status == 429 { (502, "42", "true") } else { (200, "", "") };
        assert_eq!(answer.status, error);
        assert_eq!(
            (&*told("retry-after"), &*told("idempotency-replayed")),
            (retry_after, replayed)
        );
    }
}

#[tokio::test]
async fn what_vault_has_words_for_has_a_code() {
    use ErrorKind::{Conflict, Exhausted, Invalid};
    let world = World::new().await;
    for (kind, reason, fact, status, retry_after) in [
        (Invalid, "idempotency_key_reused", None, 422, None),
        (Conflict, "idempotency_in_progress", None, 409, Some("1")),
        (Conflict, "outcome_unknown", None, 409, None),
        (Conflict, "response_not_kept", Some(("upstream_status", "201")), 409, None),
        (Exhausted, "connection_busy", None, 429, Some("1")),
        (Exhausted, "connection_rate_limited", Some(("retry_after_ms", "1001")), 429, Some("2")),
        (Exhausted, "connection_rate_limited", None, 429, Some("1")),
    ] {
        world.act(move |_| {
            let failure = Failure::new(kind, reason, "a message");
            Err(match fact {
                Some((name, value)) => failure.with(name, value),
                None => failure,
            }
            .into())
        });
        let answer = world.echo().await;
        assert_eq!((answer.status, &*answer.code()), (status, reason));
        assert_eq!(answer.header("retry-after"), retry_after, "{reason}");
        let told = fact.filter(|(name, _)| *name == "upstream_status").map(|_| json!(201));
        assert_eq!(answer.json().get("upstreamStatus").cloned(), told);
    }
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
