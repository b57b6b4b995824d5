//! Codes: whom they serve, how long, how often.

use std::time::Duration;

use crate::running::{CALLBACK, Running, VERIFIER, assert_error, both};

const BOTH: &str = "notes.read notes.write";

#[tokio::test]
async fn a_code_works_once_and_its_second_use_ends_what_came_of_it() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (other, _) = sandbox.tokens(&client, "ada", BOTH).await;
    let code = sandbox.code(&client, "ada", BOTH).await;
    let (access, refresh) = both(&sandbox.redeem(&client, &code).await);
    let (later, refresh) = both(&sandbox.refresh(&client, &refresh).await);
    // However late.
    sandbox.clock.advance(Duration::from_mins(5));
    assert_eq!(sandbox.opens(&access).await, "ada");

    assert_error(&sandbox.redeem(&client, &code).await, "invalid_grant");
    for token in [&access, &later] {
        assert_eq!(sandbox.opens(token).await, "invalid_token");
    }
    assert_error(&sandbox.refresh(&client, &refresh).await, "invalid_grant");
    assert_eq!(sandbox.opens(&other).await, "ada", "another authorization stands");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_code_works_for_a_minute() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (early, late) =
        (sandbox.code(&client, "ada", BOTH).await, sandbox.code(&client, "ada", BOTH).await);
    sandbox.clock.advance(Duration::from_secs(59));
    both(&sandbox.redeem(&client, &early).await);
    sandbox.clock.advance(Duration::from_secs(1));
    assert_error(&sandbox.redeem(&client, &late).await, "invalid_grant");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_code_is_bound_to_its_verifier_and_redirect_uri_and_spent_by_a_wrong_try() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let other_verifier = VERIFIER.replace('d', "e");
    let wrong = [
        (CALLBACK, other_verifier.as_str()),
        ("http://127.0.0.1:8080/connect/callback/int_1", VERIFIER),
    ];
    for (redirect_uri, verifier) in wrong {
        let code = sandbox.code(&client, "ada", BOTH).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        assert_error(&sandbox.token(&client, &form).await, "invalid_grant");
        assert_error(&sandbox.redeem(&client, &code).await, "invalid_grant");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_code_is_bound_to_its_client_whom_no_other_can_disturb() {
    let sandbox = Running::start().await;
    let (client, thief) = (sandbox.register().await, sandbox.register().await);
    let code = sandbox.code(&client, "ada", BOTH).await;
    assert_error(&sandbox.redeem(&thief, &code).await, "invalid_grant");
    let (access, _) = both(&sandbox.redeem(&client, &code).await);
    assert_error(&sandbox.redeem(&thief, &code).await, "invalid_grant");
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.stop().await;
}

#[tokio::test]
async fn an_exchange_needs_each_of_its_parts_once() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let code = sandbox.code(&client, "ada", BOTH).await;
    let whole = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    for left_out in 0..whole.len() {
        let mut part = whole.to_vec();
        part.remove(left_out);
        assert_error(&sandbox.token(&client, &part).await, "invalid_request");
        let mut twice = whole.to_vec();
        twice.push(whole[left_out]);
        assert_error(&sandbox.token(&client, &twice).await, "invalid_request");
    }
    let mut short = whole;
    short[3].1 = "short";
    assert_error(&sandbox.token(&client, &short).await, "invalid_request");
    let unknown = [("grant_type", "password"), ("username", "ada"), ("password", "a")];
    assert_error(&sandbox.token(&client, &unknown).await, "unsupported_grant_type");
    // None of it spent the code.
    both(&sandbox.redeem(&client, &code).await);
    sandbox.stop().await;
}
