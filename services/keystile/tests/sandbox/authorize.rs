//! The authorization endpoint: what a person sees and what a client is told.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use crate::running::{CALLBACK, Pairs, Running, STATE, asked, both, text, way_back, with};

#[tokio::test]
async fn a_person_allows_and_the_client_gets_tokens_for_that_account() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let page = sandbox.page(&asked(&client)).await;
    let policy = page.headers()["Content-Security-Policy"].to_str().expect("printable");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert_eq!(page.headers()["X-Frame-Options"], "DENY");
    assert_eq!(page.headers()["Cache-Control"], "no-store");

    let back = way_back(&sandbox.press(page, "allow", "ada").await);
    let names: Vec<_> = back.keys().map(String::as_str).collect();
    assert_eq!(names, ["code", "iss", "kept", "state"]);
    assert_eq!((back["state"].as_str(), back["iss"].as_str()), (STATE, sandbox.issuer()));

    let answer = sandbox.redeem(&client, &back["code"]).await;
    let (access, _) = both(&answer);
    assert_eq!(answer.1["token_type"], "Bearer");
    assert_eq!(answer.1["expires_in"], 600);
    assert_eq!(answer.1["scope"], "notes.read notes.write");
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.stop().await;
}

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_repeats_nothing_as_markup() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let page = sandbox.page(&with(&asked(&client), &[("scope", "notes.read")])).await;
    let policy = page.headers()["Content-Security-Policy"].to_str().expect("printable").to_owned();
    let page = page.text().await.expect("a page");
    let (_, style) = page.split_once("<style>").expect("a style");
    let (style, _) = style.split_once("</style>").expect("its end");
    let style = STANDARD.encode(Sha256::digest(style));
    assert!(policy.contains(&format!("style-src 'sha256-{style}';")), "{policy}");
    assert!(page.contains("Keystile") && page.contains("http://127.0.0.1:8080"), "{page}");
    assert!(page.contains("notes.read") && !page.contains("notes.write"), "{page}");
    assert!(!page.contains("<marks>") && !page.contains("<script"), "{page}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_person_who_denies_gives_the_client_nothing() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    // An account that cannot be does not stand in the way of saying no.
    for account in ["ada", "a.b"] {
        let page = sandbox.page(&asked(&client)).await;
        let back = way_back(&sandbox.press(page, "deny", account).await);
        assert_eq!(back["error"], "access_denied");
        assert_eq!((back["state"].as_str(), back["iss"].as_str()), (STATE, sandbox.issuer()));
        assert!(!back.contains_key("code"));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_is_asked_for_again() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    for account in ["", "a.b", "a b", &"a".repeat(33)] {
        let page = sandbox.page(&asked(&client)).await;
        let again = sandbox.press(page, "allow", account).await;
        assert_eq!(again.status(), StatusCode::UNPROCESSABLE_ENTITY, "{account}");
        let page = again.text().await.expect("a page");
        assert!(page.contains("aria-invalid=\"true\""), "{page}");
        assert!(page.contains(&format!("value=\"{account}\"")), "{page}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_wrong_before_the_way_back_is_known_stays_a_page() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let good = asked(&client);
    let slash = format!("{CALLBACK}/");
    let upper = CALLBACK.replace("http:", "HTTP:");
    let wrong = [
        ("client_id", ""),
        ("client_id", "client-unknown"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://example.org/"),
        ("redirect_uri", "http://127.0.0.1:8081/connect/callback/int_1?kept=1"),
        ("redirect_uri", "http://127.0.0.1:8080/connect/callback/int_1"),
        ("redirect_uri", &slash),
        ("redirect_uri", &upper),
    ];
    for changed in wrong {
        // Whatever else is wrong, too.
        let page = sandbox.page(&with(&good, &[changed, ("response_type", "token")])).await;
        assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{changed:?}");
        assert!(!page.headers().contains_key("Location"), "{changed:?}");
        assert_eq!(page.headers()["Content-Type"], "text/html; charset=utf-8");
    }
    for twice in ["client_id", "redirect_uri"] {
        let again = good.iter().filter(|(name, _)| *name == twice);
        let page = sandbox.page_of(good.iter().chain(again)).await;
        assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{twice}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_wrong_later_is_told_to_the_client_with_its_state() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let good = asked(&client);
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    let wrong = [
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("scope", "notes.read notes.admin", "invalid_scope"),
        ("scope", "notes.read,notes.write", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", &short, "invalid_request"),
        ("code_challenge", &long, "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
    ];
    for (name, value, error) in wrong {
        let back = way_back(&sandbox.page(&with(&good, &[(name, value)])).await);
        assert_eq!(back["error"], error, "{name}={value}");
        assert_eq!((back["state"].as_str(), back["iss"].as_str()), (STATE, sandbox.issuer()));
    }
    for state in ["", "é", &"a".repeat(2_001)] {
        let back = way_back(&sandbox.page(&with(&good, &[("state", state)])).await);
        assert_eq!(back["error"], "invalid_request");
        assert!(!back.contains_key("state"), "{state}");
    }
    for twice in ["state", "scope", "code_challenge", "response_type"] {
        let again = good.iter().filter(|(name, _)| *name == twice);
        let page = sandbox.page_of(good.iter().chain(again)).await;
        assert_eq!(way_back(&page)["error"], "invalid_request", "{twice}");
    }
    // RFC 6749 §3.1: what a server does not know, it ignores.
    let page = sandbox.page(&with(&good, &[("prompt", "none")])).await;
    assert_eq!(page.status(), StatusCode::OK);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_answer_is_checked_like_the_question_and_comes_from_this_site() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let good = with(&asked(&client), &[("decision", "allow"), ("account", "ada")]);
    let answer = async |form: &Pairs, site: Option<&str>| {
        let mut request = sandbox.request(Method::POST, "/oauth/authorize").form(form);
        if let Some(site) = site {
            request = request.header("Sec-Fetch-Site", site);
        }
        request.send().await.expect("answers")
    };
    for site in ["cross-site", "same-site", "none"] {
        let refused = answer(&good, Some(site)).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{site}");
    }
    // A program, which is no browser, sends no such header.
    assert!(way_back(&answer(&good, None).await).contains_key("code"));

    let elsewhere = with(&good, &[("redirect_uri", "https://example.org/")]);
    assert_eq!(answer(&elsewhere, None).await.status(), StatusCode::BAD_REQUEST);
    let wider = with(&good, &[("scope", "notes.admin")]);
    assert_eq!(way_back(&answer(&wider, None).await)["error"], "invalid_scope");
    for decision in ["", "perhaps"] {
        let unclear = with(&good, &[("decision", decision)]);
        assert_eq!(answer(&unclear, None).await.status(), StatusCode::BAD_REQUEST, "{decision}");
    }
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&good).finish();
    let untyped = sandbox.request(Method::POST, "/oauth/authorize").body(body);
    let refused = untyped.send().await.expect("answers");
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    sandbox.stop().await;
}

#[tokio::test]
async fn without_a_scope_everything_is_asked_for() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let code = sandbox.code(&client, "ada", "").await;
    let (_, answer) = sandbox.redeem(&client, &code).await;
    assert_eq!(text(&answer, "scope"), "notes.read notes.write");
    sandbox.stop().await;
}
