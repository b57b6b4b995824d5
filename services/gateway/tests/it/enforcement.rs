//! Who may do what, and who is told what: threats 29, 30 and the table of design §5.

use keystile_contract::{Failure, proto::verification::v1::VerifyResponse};
use keystile_domain::{ErrorKind, Refusal};
use keystile_gateway::Config;
use serde_json::json;

use crate::support::{ECHO, GRANTED, NOT_GRANTED, TOKEN, World, config, refuse};

const ROUTES: [(&str, &str); 5] = [
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/components/apps"),
    ("GET", "/api/v1/components/list"),
    ("GET", "/api/v1/components/details/action.sandbox.echo"),
    ("POST", ECHO),
];

async fn ask(world: &World, method: &str, path: &str) -> crate::support::Answer {
    if method == "GET" { world.get(path).await } else { world.echo().await }
}

#[tokio::test]
async fn every_refusal_has_its_status_and_code_on_every_route() {
    let world = World::new().await;
    for refusal in Refusal::ALL {
        let status = match refusal {
            Refusal::Invalid
            | Refusal::Revoked
            | Refusal::Expired
            | Refusal::Disabled
            | Refusal::Suspended => 401,
            Refusal::PlanRequired
            | Refusal::ComponentNotAllowed
            | Refusal::ConnectionNotAllowed
            | Refusal::IpNotAllowed => 403,
            Refusal::RateLimited | Refusal::QuotaExceeded => 429,
        };
        world.decide(move |_| refuse(refusal));
        for (method, path) in ROUTES {
            let about_component =
                matches!(refusal, Refusal::ComponentNotAllowed | Refusal::ConnectionNotAllowed);
            if about_component && !path.contains("action.") {
                continue;
            }
            let answer = ask(&world, method, path).await;
            assert_eq!((answer.status, &*answer.code()), (status, refusal.code()), "{path}");
            let limited = status == 429;
            assert_eq!(answer.header("retry-after"), limited.then_some("42"));
            assert_eq!(answer.header("ratelimit").is_some(), limited);
            let held = answer.json().get("held").cloned();
            assert_eq!(held, about_component.then(|| json!(GRANTED)));
        }
    }
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn without_a_verdict_it_is_never_401_and_nothing_runs() {
    let world = World::new().await;
    for kind in ErrorKind::ALL {
        let reason = if kind == ErrorKind::Stale { "stale_capability" } else { "some_reason" };
        world.decide(move |_| Err(Failure::new(kind, reason, "ten.0.0.1 said no").into()));
        let expected = match kind {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Exhausted
            | ErrorKind::Stale => (503, "verification_unavailable"),
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Upstream
            | ErrorKind::Internal => (500, "internal"),
        };
        for (method, path) in ROUTES {
            let answer = ask(&world, method, path).await;
            assert_eq!((answer.status, &*answer.code()), expected, "{kind:?} {path}");
            assert_eq!(answer.header("retry-after").is_some(), expected.0 == 503);
            assert!(!String::from_utf8_lossy(&answer.body).contains("ten.0.0.1"));
        }
    }
    world.decide(|_| Ok(VerifyResponse::default()));
    assert_eq!(world.echo().await.status, 500);
    assert!(world.ran().is_empty());
}

#[tokio::test]
async fn an_unproven_key_learns_nothing_then_404_comes_before_403() {
    let world = World::new().await;
    let missing = "/api/v1/components/action.sandbox.missing/run";
    let removed = "/api/v1/components/action.sandbox.was-removed/run";
    let foreign = format!("/api/v1/components/{NOT_GRANTED}/run");
    for path in [missing, removed, &*foreign, ECHO] {
        for body in [r#"{"inputs":{}}"#, "{", ""] {
            let headers = [("x-api-key", "ks_dev_forged"), ("content-type", "text/plain")];
            let answer = world.send("POST", path, &headers, body).await;
            assert_eq!((answer.status, &*answer.code()), (401, "invalid"), "{path} {body}");
        }
    }
    for (path, expected) in [
        (missing, (404, "unknown_component")),
        (removed, (404, "unknown_component")),
        (&*foreign, (403, "component_not_allowed")),
    ] {
        for body in [r#"{"inputs":{}}"#, "{", ""] {
            let answer = world.post(path, body).await;
            assert_eq!((answer.status, &*answer.code()), expected, "{path} {body}");
        }
    }
    assert!(world.ran().is_empty());
}

/// Threat 30.
#[tokio::test]
async fn no_spelling_of_a_path_reaches_another_component() {
    let world = World::new().await;
    for name in [
        "..",
        "%2e%2e",
        ".%2e",
        "%252e%252e",
        "action.sandbox.echo%2Frun",
        "action.sandbox.echo%2F..%2Faction.sandbox.who-am-i",
        "action.sandbox.echo%00",
        "action.sandbox.echo%2500",
        "action.sandbox.echo%20",
        "action.sandbox.echo%3Frun",
        "action.sandbox.echo;x=1",
        "action.sandbox..echo",
        "action.sandbox.%65%63%68%6F%2F",
        "action%252Esandbox%252Eecho",
        "Action.sandbox.echo",
        "action.sandbox.ECHO",
        "action.sandbox.%D0%B5cho",
        "action.sandbox.ech%EF%BD%8F",
        "action.sandbox.echo%E2%80%8B",
        "action.sandbox.%ff%fe",
        "action.sandbox.%zz",
        "action.sandbox.echo%0d%0ax-evil:%201",
        "apps",
        "*",
    ] {
        let path = format!("/api/v1/components/{name}/run");
        let answer = world.post(&path, r#"{"inputs":{"message":"x"}}"#).await;
        assert_eq!((answer.status, &*answer.code()), (404, "unknown_component"), "{name}");
        assert!(answer.header("x-evil").is_none());
        let answer = world.get(&format!("/api/v1/components/details/{name}")).await;
        assert_eq!((answer.status, &*answer.code()), (404, "unknown_component"), "{name}");
        for asked in world.asked() {
            assert_eq!(asked.question.component, "", "{name}");
        }
    }
    for path in [
        "/api/v1/components/action.sandbox.echo/../action.sandbox.echo/run",
        "/api/v1/components/action.sandbox.echo/run/",
        "/api/v1//components/action.sandbox.echo/run",
        "/API/v1/me",
        "/api/v1/me/",
        "/api/v1/../v1/me",
    ] {
        let answer = world.post(path, r#"{"inputs":{"message":"x"}}"#).await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{path}");
    }
    assert!(world.ran().is_empty());
    // One decoding is what a URL asks for.
    let spelled = "/api/v1/components/action%2Esandbox.%65cho/run";
    assert_eq!(world.post(spelled, r#"{"inputs":{"message":"x"}}"#).await.status, 200);
    assert_eq!(world.ran()[0].component, "action.sandbox.echo");
}

/// Threat 29: whatever is repeated, mixed or smuggled beside it, one request has one key.
#[tokio::test]
async fn a_key_comes_in_one_header_once() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let other = "Bearer ks_dev_other";
    let lower = format!("bearer {TOKEN}");
    let upper = format!("BEARER   {TOKEN}");
    for headers in [
        &[("authorization", &*bearer)][..],
        &[("Authorization", &lower)],
        &[("AUTHORIZATION", &upper)],
        &[("x-api-key", TOKEN)],
        &[("X-Api-Key", TOKEN), ("cookie", "authorization=Bearer x")],
    ] {
        assert_eq!(world.send("GET", "/api/v1/me", headers, "").await.status, 200, "{headers:?}");
    }
    world.asked();
    for (headers, status, code) in [
        (&[][..], 401, "key_required"),
        (&[("authorization", &*bearer), ("authorization", other)], 400, "duplicate_header"),
        (&[("authorization", other), ("Authorization", &bearer)], 400, "duplicate_header"),
        (&[("x-api-key", TOKEN), ("x-api-key", "ks_dev_other")], 400, "duplicate_header"),
        (&[("authorization", &bearer), ("x-api-key", TOKEN)], 400, "ambiguous_credentials"),
        (&[("x-api-key", ""), ("authorization", &bearer)], 400, "ambiguous_credentials"),
        (&[("authorization", "Basic a3M6eA==")], 401, "unsupported_scheme"),
        (&[("authorization", TOKEN)], 401, "unsupported_scheme"),
        (&[("authorization", "Bearer")], 400, "malformed_credentials"),
        (&[("authorization", "Bearer a b")], 400, "malformed_credentials"),
        (&[("authorization", "Bearer ks_é")], 400, "malformed_credentials"),
        (&[("authorization", "Bearer ksm_x")], 401, "management_token"),
        (&[("x-api-key", "pk_prod_0123456789abcdef")], 401, "public_key"),
        (&[("x-api-key", "x"), ("connection", "x-api-key")], 400, "invalid_connection_header"),
    ] {
        for (method, path) in ROUTES {
            let answer = world.send(method, path, headers, "").await;
            assert_eq!((answer.status, &*answer.code()), (status, code), "{headers:?}");
        }
    }
    assert!(world.asked().is_empty(), "verification is asked about nothing of this");
}

#[tokio::test]
async fn internal_headers_from_outside_mean_nothing() {
    let world = World::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("keystile-capability-bin", "AAAA"),
        ("keystile-actor-bin", "AAAA"),
        ("x-keystile-team", "team_00000000000000000000000000"),
        ("grpc-timeout", "1n"),
        ("x-forwarded-for", "198.51.100.7"),
        ("forwarded", "for=198.51.100.7"),
    ];
    let answer = world.send("POST", ECHO, &headers, r#"{"inputs":{"message":"x"}}"#).await;
    assert_eq!(answer.status, 200);
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].question.source_ip, "127.0.0.1");
    let ran = world.ran();
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0].capability.component.as_str(), "action.sandbox.echo");
    for metadata in [&asked[0].metadata, &ran[0].metadata] {
        for (name, _) in &headers {
            let own = *name == "keystile-capability-bin" || *name == "content-type";
            assert!(own || !metadata.contains_key(*name) || *name == "grpc-timeout", "{name}");
        }
        assert_eq!(metadata.get("grpc-timeout").unwrap(), "30000000u");
    }
    assert_eq!(ran[0].metadata.get_all_bin("keystile-capability-bin").iter().count(), 1);
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let trusting: Config = config(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a net")];
    });
    let world = World::with(trusting).await;
    let headers = [("x-api-key", TOKEN), ("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    assert_eq!(world.send("GET", "/api/v1/me", &headers, "").await.status, 200);
    assert_eq!(world.asked()[0].question.source_ip, "198.51.100.7");
}
