//! Clients: how they register, prove themselves and find their way.

use keystile::sandbox::{Client as Own, MAX_CLIENTS};
use keystile_domain::name::Name;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::running::{
    CALLBACK, Client, Pairs, Running, asked, assert_error, both, read, text, way_back, with,
};

const OWN_ACCOUNT: (&str, &str) = ("grant_type", "client_credentials");

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    read(request.send().await.expect("answers")).await
}

#[tokio::test]
async fn a_client_proves_itself_by_basic_or_by_the_body_and_not_by_both() {
    let sandbox = Running::start().await;
    let Client { id, secret } = &sandbox.register().await;
    let other = sandbox.register().await;
    let request = || sandbox.request(Method::POST, "/oauth/token");
    let body = |id: &str, secret: &str| {
        let form = [OWN_ACCOUNT, ("client_id", id), ("client_secret", secret)];
        request().form(&form)
    };
    let basic = |id: &str, secret: &str| request().basic_auth(id, Some(secret));

    assert_eq!(send(body(id, secret)).await.0, StatusCode::OK);
    assert_eq!(send(basic(id, secret).form(&[OWN_ACCOUNT])).await.0, StatusCode::OK);
    // The two parts are form-encoded, RFC 6749 §2.3.1.
    let encoded = basic(&id.replace('-', "%2D"), &secret.replace('_', "%5f"));
    assert_eq!(send(encoded.form(&[OWN_ACCOUNT])).await.0, StatusCode::OK);
    let named = basic(id, secret).form(&[OWN_ACCOUNT, ("client_id", id)]);
    assert_eq!(send(named).await.0, StatusCode::OK, "said twice, proved once");

    let two = basic(id, secret).form(&[OWN_ACCOUNT, ("client_id", &other.id)]);
    assert_error(&send(two).await, "invalid_request");
    assert_error(&send(body(id, secret).basic_auth(id, Some(secret))).await, "invalid_request");

    for wrong in [
        body(id, "wrong"),
        body(id, &other.secret),
        body("client-unknown", secret),
        body(id, ""),
        basic(id, "wrong").form(&[OWN_ACCOUNT]),
        basic(id, "").form(&[OWN_ACCOUNT]),
        request().bearer_auth(secret).form(&[OWN_ACCOUNT]),
        request().form(&[OWN_ACCOUNT]),
        request().form(&[OWN_ACCOUNT, ("client_id", id)]),
    ] {
        let answer = wrong.send().await.expect("answers");
        assert_eq!(answer.headers()["WWW-Authenticate"], r#"Basic realm="sandbox""#);
        assert_eq!(answer.headers()["Cache-Control"], "no-store");
        assert_error(&read(answer).await, "invalid_client");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_token_endpoint_takes_a_form_of_bounded_size() {
    let sandbox = Running::start().await;
    let client = sandbox.register().await;
    let request = || {
        let request = sandbox.request(Method::POST, "/oauth/token");
        request.basic_auth(&client.id, Some(&client.secret))
    };
    let json = request().json(&json!({"grant_type": "client_credentials"}));
    assert_error(&send(json).await, "invalid_request");
    let large = "a".repeat(16 * 1024);
    assert_error(&send(request().form(&[OWN_ACCOUNT, ("a", &large)])).await, "invalid_request");
    let answer = sandbox.request(Method::GET, "/oauth/token").send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_registration_answers_with_all_that_a_client_needs() {
    let sandbox = Running::start().await;
    let request = sandbox.request(Method::POST, "/oauth/register");
    // RFC 7591 §2: what a server does not know, it ignores.
    let wanted = json!({"redirect_uris": [CALLBACK], "client_name": "Ada's", "logo_uri": "a"});
    let (status, answer) = send(request.json(&wanted)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(answer["redirect_uris"], json!([CALLBACK]));
    assert_eq!(answer["client_name"], "Ada's");
    assert_eq!(answer["client_secret_expires_at"], 0);
    assert_eq!(answer["response_types"], json!(["code"]));
    let client = Client { id: text(&answer, "client_id"), secret: text(&answer, "client_secret") };
    let page = sandbox.page(&asked(&client)).await.text().await.expect("a page");
    assert!(page.contains("Ada&#39;s"), "{page}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_registration_that_could_send_codes_astray_is_refused() {
    let sandbox = Running::start().await;
    let nine = vec![CALLBACK; 9];
    let wrong = [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": nine}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://example.org/"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [CALLBACK, "javascript:a"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": CALLBACK}), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "client_name": ""}), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "client_name": "<b>"}), "invalid_client_metadata"),
    ];
    for (metadata, error) in wrong {
        let request = sandbox.request(Method::POST, "/oauth/register").json(&metadata);
        assert_error(&send(request).await, error);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_oldest_registered_client_makes_room_and_an_added_one_never_does() {
    let sandbox = Running::start().await;
    let own = |id: &str, redirect_uri: &str| Own {
        id: id.to_owned(),
        secret: "0123456789abcdef".to_owned().into(),
        name: Name::new("Demo").expect("a name"),
        redirect_uris: vec![redirect_uri.to_owned()],
    };
    sandbox.server.add_client(own("demo", "https://example.org/")).expect("is added");
    sandbox.server.add_client(own("demo", CALLBACK)).expect("is replaced");
    assert!(sandbox.server.add_client(own("a_b", CALLBACK)).is_err());
    assert!(sandbox.server.add_client(own("demo", "http://example.org/")).is_err());

    let first = sandbox.register().await;
    let second = sandbox.register().await;
    for _ in 2..=MAX_CLIENTS {
        sandbox.register().await;
    }
    assert_error(&sandbox.token(&first, &[OWN_ACCOUNT]).await, "invalid_client");
    assert_eq!(sandbox.token(&second, &[OWN_ACCOUNT]).await.0, StatusCode::OK);
    let demo = Client { id: "demo".to_owned(), secret: "0123456789abcdef".to_owned() };
    let code = sandbox.code(&demo, "ada", "notes.read").await;
    let (access, _) = both(&sandbox.redeem(&demo, &code).await);
    assert_eq!(sandbox.opens(&access).await, "ada");
    sandbox.stop().await;
}

/// As a client that knows nothing but where the server is.
#[tokio::test]
async fn the_metadata_leads_a_client_through_the_whole_flow() {
    let sandbox = Running::start().await;
    let found = sandbox.request(Method::GET, "/.well-known/oauth-authorization-server");
    let (status, metadata) = send(found).await;
    assert_eq!((status, &metadata["issuer"]), (StatusCode::OK, &json!(sandbox.issuer())));
    assert_eq!(metadata["scopes_supported"], json!(["notes.read", "notes.write"]));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], json!(true));
    for kind in ["authorization_code", "refresh_token", "client_credentials"] {
        let kinds = metadata["grant_types_supported"].as_array().expect("a list");
        assert!(kinds.contains(&json!(kind)), "{kind}");
    }
    let at = |name: &str| text(&metadata, name);
    let post = |name: &str| sandbox.http.post(at(name));

    let wanted = json!({"redirect_uris": [CALLBACK]});
    let (_, registered) = send(post("registration_endpoint").json(&wanted)).await;
    let (id, secret) = (text(&registered, "client_id"), text(&registered, "client_secret"));
    let client = Client { id, secret };
    assert_eq!(at("authorization_endpoint"), format!("{}/oauth/authorize", sandbox.issuer()));
    let page = sandbox.page(&asked(&client)).await;
    let code = way_back(&sandbox.press(page, "allow", "ada").await)["code"].clone();
    let form: Pairs = with(
        &Pairs::new(),
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", crate::running::VERIFIER),
        ],
    );
    let signed = |request: RequestBuilder| request.basic_auth(&client.id, Some(&client.secret));
    let (access, refresh) = both(&send(signed(post("token_endpoint")).form(&form)).await);
    assert_eq!(sandbox.opens(&access).await, "ada");
    let revoke = signed(post("revocation_endpoint")).form(&[("token", &refresh)]);
    assert_eq!(send(revoke).await.0, StatusCode::OK);
    assert_eq!(sandbox.opens(&access).await, "invalid_token");
    sandbox.stop().await;
}
