//! The notes API against its document.

use keystile_catalog::App;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::running::Running;

const ADA: &str = "sandbox_ada_0123456789abcdef";
const BOB: &str = "sandbox_bob_0123456789abcdef";

#[tokio::test]
async fn notes_are_made_found_and_deleted_by_their_account_only() {
    let sandbox = Running::start().await;
    let (ada, bob) = (format!("Bearer {ADA}"), format!("Bearer {BOB}"));
    let note = json!({"title": "Buy milk", "tags": ["home"]});
    let (status, made) = sandbox.ask(&ada, Method::POST, "/notes", Some(note)).await;
    assert_eq!(status, StatusCode::CREATED);
    let path = format!("/notes/{}", made["id"].as_str().expect("an id"));
    let other = json!({"title": "Call Bob"});
    sandbox.ask(&ada, Method::POST, "/notes", Some(other)).await;

    let (_, all) = sandbox.ask(&ada, Method::GET, "/notes", None).await;
    assert_eq!(all["notes"][0]["title"], "Call Bob", "the newest first");
    let (_, tagged) = sandbox.ask(&ada, Method::GET, "/notes?tag=home&limit=5", None).await;
    assert_eq!(tagged, json!({"notes": [made]}));
    let (status, found) = sandbox.ask(&ada, Method::GET, &path, None).await;
    assert_eq!((status, &found), (StatusCode::OK, &made));

    let (_, none) = sandbox.ask(&bob, Method::GET, "/notes", None).await;
    assert_eq!(none, json!({"notes": []}));
    for method in [Method::GET, Method::DELETE] {
        let (status, problem) = sandbox.ask(&bob, method, &path, None).await;
        assert_eq!((status, &problem["status"]), (StatusCode::NOT_FOUND, &json!(404)));
    }
    assert_eq!(sandbox.ask(&ada, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.ask(&ada, Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        sandbox.ask(&bob, Method::GET, "/me", None).await,
        (StatusCode::OK, json!({"account": "bob"}))
    );
    let (_, echoed) =
        sandbox.ask(&bob, Method::POST, "/echo", Some(json!({"message": "hi"}))).await;
    assert_eq!(echoed["message"], "hi");
    sandbox.stop().await;
}

#[tokio::test]
async fn without_a_token_of_an_account_everything_is_401() {
    let sandbox = Running::start().await;
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        format!("Basic {ADA}"),
        "Bearer sandbox_ada_short".to_owned(),
        "Bearer sandbox__0123456789abcdef".to_owned(),
        "Bearer sandbox_a.b_0123456789abcdef".to_owned(),
        "Bearer ks_dev_0123456789abcdef".to_owned(),
    ];
    for token in wrong {
        for path in ["/notes", "/me", "/notes/note_1"] {
            let (status, problem) = sandbox.ask(&token, Method::GET, path, None).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{token} {path}");
            assert_eq!(problem["code"], "invalid_token");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn what_the_document_forbids_is_refused() {
    let sandbox = Running::start().await;
    let ada = format!("Bearer {ADA}");
    let notes = [
        json!({}),
        json!({"title": ""}),
        json!({"title": "a".repeat(201)}),
        json!({"title": "a", "body": "a".repeat(10_001)}),
        json!({"title": "a", "tags": ["a", "a"]}),
        json!({"title": "a", "tags": vec!["a"; 11]}),
        json!({"title": "a", "tags": [""]}),
        json!({"title": "a", "id": "note_1"}),
    ];
    for note in notes {
        let (status, problem) = sandbox.ask(&ada, Method::POST, "/notes", Some(note)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["errors"][0]["pointer"].is_string(), "{problem}");
    }
    for query in ["?limit=0", "?limit=101", "?limit=x", "?tag=", "?sort=a"] {
        let (status, _) = sandbox.ask(&ada, Method::GET, &format!("/notes{query}"), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_document_that_it_serves_describes_every_route() {
    let sandbox = Running::start().await;
    let url = sandbox.base.join("openapi.yaml").expect("a path");
    let text = sandbox.http.get(url).send().await.expect("answers").text().await.expect("text");
    let (app, report) = App::parse("sandbox".parse().expect("a key"), &text).expect("parses");
    assert!(report.lines().is_empty(), "{report:?}");
    let ada = format!("Bearer {ADA}");
    let mut actions = 0;
    for component in app.components.values() {
        let Some(operation) = component.operation() else { continue };
        let path = operation.path.replace("{noteId}", "note_1");
        let (status, problem) = sandbox.ask(&ada, operation.method.clone(), &path, None).await;
        let code = problem["code"].as_str().unwrap_or_default();
        // Reached: what is missing is a body or the note, not the route.
        let unrouted = status == StatusCode::METHOD_NOT_ALLOWED
            || (status == StatusCode::NOT_FOUND && problem["detail"] != "there is no such note");
        assert!(!unrouted, "{} {path}: {status} {code}", operation.method);
        actions += 1;
    }
    assert_eq!(actions, 6);
    sandbox.stop().await;
}
