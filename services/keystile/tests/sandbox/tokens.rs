//! Access and refresh tokens: what they open, how long, and what ends them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::running::{Client, Running, assert_error, both, read, text};

const BOTH: &str = "notes.read notes.write";

impl Running {
    async fn revoke(&self, client: &Client, token: &str) -> (StatusCode, Value) {
        let request = self.request(Method::POST, "/oauth/revoke").form(&[("token", token)]);
        let request = request.basic_auth(&client.id, Some(&client.secret));
        read(request.send().await.expect("answers")).await
    }

    async fn withdraw(&self, account: &str) -> StatusCode {
        let path = format!("/oauth/accounts/{account}/revoke");
        self.request(Method::POST, &path).send().await.expect("answers").status()
    }
}

#[tokio::test]
async fn an_access_token_ends_with_its_time() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (access, refresh) = sandbox.tokens(&client, "ada", BOTH).await;
    sandbox.clock.advance(Duration::from_secs(599));
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.clock.advance(Duration::from_secs(1));
    let expired = sandbox.request(Method::GET, "/me").bearer_auth(&access).send().await;
    let expired = expired.expect("answers");
    assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    let challenge = &expired.headers()["WWW-Authenticate"];
    assert_eq!(challenge, r#"Bearer realm="sandbox", error="invalid_token""#);
    let (access, _) = both(&sandbox.refresh(&client, &refresh).await);
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.stop().await;
}

#[tokio::test]
async fn who_brings_no_token_is_told_no_error() {
    let sandbox = Running::start().await;
    let answer = sandbox.request(Method::GET, "/me").send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["WWW-Authenticate"], r#"Bearer realm="sandbox""#);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_family() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (first_access, first) = sandbox.tokens(&client, "ada", BOTH).await;
    let (_, second) = both(&sandbox.refresh(&client, &first).await);
    let (access, third) = both(&sandbox.refresh(&client, &second).await);
    assert!(first != second && second != third && access != first_access);
    let (other, _) = sandbox.tokens(&client, "ada", BOTH).await;

    assert_error(&sandbox.refresh(&client, &first).await, "invalid_grant");
    assert_error(&sandbox.refresh(&client, &third).await, "invalid_grant");
    for token in [&first_access, &access] {
        assert_eq!(sandbox.opens(token).await, "invalid_token");
    }
    assert_eq!(sandbox.opens(&other).await, "ada", "another authorization stands");
    sandbox.stop().await;
}

#[tokio::test]
async fn no_other_client_can_use_or_disturb_a_refresh_token() {
    let sandbox = Running::start().await;
    let (client, thief) = (sandbox.register().await, sandbox.register().await);
    let (_, spent) = sandbox.tokens(&client, "ada", BOTH).await;
    let (_, refresh) = both(&sandbox.refresh(&client, &spent).await);
    for token in [&refresh, &spent] {
        assert_error(&sandbox.refresh(&thief, token).await, "invalid_grant");
        assert_error(&sandbox.revoke(&thief, token).await, "invalid_grant");
    }
    let (access, _) = both(&sandbox.refresh(&client, &refresh).await);
    assert_error(&sandbox.revoke(&thief, &access).await, "invalid_grant");
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refresh_can_ask_for_less_but_never_for_more() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (_, refresh) = sandbox.tokens(&client, "ada", BOTH).await;
    let form = |token, scope| {
        [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]
    };
    let answer = sandbox.token(&client, &form(&refresh, "notes.read")).await;
    assert_eq!(text(&answer.1, "scope"), "notes.read");
    let (_, refresh) = both(&answer);
    let answer = sandbox.refresh(&client, &refresh).await;
    assert_eq!(text(&answer.1, "scope"), BOTH, "the authorization stays as it was");

    let (_, refresh) = sandbox.tokens(&client, "ada", "notes.read").await;
    for more in [BOTH, "notes.write", "notes.admin"] {
        assert_error(&sandbox.token(&client, &form(&refresh, more)).await, "invalid_scope");
    }
    both(&sandbox.refresh(&client, &refresh).await);
    sandbox.stop().await;
}

#[tokio::test]
async fn reads_need_one_scope_and_writes_the_other() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (reader, _) = sandbox.tokens(&client, "ada", "notes.read").await;
    let (writer, _) = sandbox.tokens(&client, "ada", "notes.write").await;
    let send = async |token: &str, method: Method, path: &str| {
        let request = sandbox.request(method, path).bearer_auth(token);
        let request = request.json(&json!({"title": "Buy milk"}));
        request.send().await.expect("answers")
    };
    let reads = [(Method::GET, "/notes"), (Method::GET, "/notes/note_1")];
    let writes = [(Method::POST, "/notes"), (Method::DELETE, "/notes/note_1")];
    for (allowed, refused, lacking, calls) in
        [(&reader, &writer, "notes.read", &reads), (&writer, &reader, "notes.write", &writes)]
    {
        for (method, path) in calls {
            let answer = send(allowed, method.clone(), path).await;
            let reached = answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND;
            assert!(reached, "{method} {path}: {}", answer.status());

            let answer = send(refused, method.clone(), path).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
            let challenge = format!(
                "Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"{lacking}\""
            );
            assert_eq!(answer.headers()["WWW-Authenticate"], challenge);
            assert_eq!(read(answer).await.1["code"], "insufficient_scope");
        }
    }
    for token in [&reader, &writer] {
        assert_eq!(sandbox.opens(token).await, "ada");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn client_credentials_open_the_clients_own_account_and_cannot_be_refreshed() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let form = [("grant_type", "client_credentials")];
    let (status, answer) = sandbox.token(&client, &form).await;
    assert_eq!((status, &answer["scope"]), (StatusCode::OK, &json!(BOTH)));
    assert_eq!(answer.get("refresh_token"), None);
    assert_eq!(sandbox.opens(&text(&answer, "access_token")).await, client.id);
    let wrong = [("grant_type", "client_credentials"), ("scope", "notes.admin")];
    assert_error(&sandbox.token(&client, &wrong).await, "invalid_scope");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_client_revokes_an_access_token_alone_and_a_refresh_token_with_its_family() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let revoked = (StatusCode::OK, Value::Null);
    let (access, refresh) = sandbox.tokens(&client, "ada", BOTH).await;
    assert_eq!(sandbox.revoke(&client, &access).await, revoked);
    assert_eq!(sandbox.opens(&access).await, "invalid_token");
    let (access, refresh) = both(&sandbox.refresh(&client, &refresh).await);

    assert_eq!(sandbox.revoke(&client, &refresh).await, revoked);
    assert_eq!(sandbox.opens(&access).await, "invalid_token");
    assert_error(&sandbox.refresh(&client, &refresh).await, "invalid_grant");
    for gone in [access.as_str(), &refresh, "srt_unknown", "anything"] {
        assert_eq!(sandbox.revoke(&client, gone).await, revoked, "RFC 7009 §2.2");
    }
    assert_error(&sandbox.revoke(&client, "").await, "invalid_request");
    let nobody = Client { secret: "wrong".to_owned(), ..client };
    assert_error(&sandbox.revoke(&nobody, "anything").await, "invalid_client");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_person_takes_back_all_that_was_allowed_in_their_name_and_nothing_else() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let (access, refresh) = sandbox.tokens(&client, "ada", BOTH).await;
    let code = sandbox.code(&client, "ada", BOTH).await;
    let (other, other_refresh) = sandbox.tokens(&client, "bob", BOTH).await;
    let plain = "sandbox_ada_0123456789abcdef";

    let path = "/oauth/accounts/ada/revoke";
    let foreign = sandbox.request(Method::POST, path).header("Sec-Fetch-Site", "cross-site");
    assert_eq!(foreign.send().await.expect("answers").status(), StatusCode::FORBIDDEN);
    assert_eq!(sandbox.opens(&access).await, "ada");

    assert_eq!(sandbox.withdraw("ada").await, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.opens(&access).await, "invalid_token");
    assert_error(&sandbox.refresh(&client, &refresh).await, "invalid_grant");
    assert_error(&sandbox.redeem(&client, &code).await, "invalid_grant");
    assert_eq!(sandbox.opens(plain).await, "ada", "no client holds it");
    assert_eq!(sandbox.opens(&other).await, "bob");
    both(&sandbox.refresh(&client, &other_refresh).await);

    let (again, _) = sandbox.tokens(&client, "ada", BOTH).await;
    assert_eq!(sandbox.opens(&again).await, "ada", "they may allow it again");
    assert_eq!(sandbox.withdraw("nobody").await, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.withdraw("a.b").await, StatusCode::NOT_FOUND);
    sandbox.stop().await;
}
