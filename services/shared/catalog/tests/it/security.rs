//! How a connection proves itself: security schemes and what refers to them.

use crate::support::{lines, operation, parse};
use keystile_catalog::{
    AuthScheme, OAuth2,
    extension::{ClientAuthentication, Dialect, ScopeSeparator},
    limits,
};
use serde_json::{Map, Value, json};

/// What becomes of one security scheme, and the lines about it.
fn map(scheme: &Value) -> (Option<AuthScheme>, Vec<String>) {
    let mut document = operation("get", "/x", json!({}));
    document["components"] = json!({ "securitySchemes": { "a": scheme } });
    let (mut app, report) = parse(&document);
    (app.security.pop(), lines(&report))
}

fn oauth(scheme: &Value) -> OAuth2 {
    match map(scheme) {
        (Some(AuthScheme::OAuth2(oauth)), lines) if lines.is_empty() => *oauth,
        other => panic!("{other:#?}"),
    }
}

fn code() -> Value {
    json!({ "type": "oauth2", "flows": { "authorizationCode": {
        "authorizationUrl": "https://acme.example/authorize",
        "tokenUrl": "https://acme.example/token",
        "scopes": { "read": "Read", "write": "Write" },
    } } })
}

#[test]
fn a_grant_may_stand_alone_or_beside_the_other() {
    let client =
        json!({ "tokenUrl": "https://acme.example/machines", "scopes": { "jobs": "Run" } });
    let mut both = code();
    both["flows"]["clientCredentials"] = client.clone();
    both["flows"]["authorizationCode"]["refreshUrl"] = json!("https://acme.example/refresh");
    both["flows"]["implicit"] = json!({});
    let both = oauth(&both);
    let person = both.authorization_code.as_ref().expect("a person consents");
    assert_eq!(person.authorization_url.as_str(), "https://acme.example/authorize");
    assert_eq!(person.token_url.as_str(), "https://acme.example/token");
    let refresh = person.refresh_url.as_ref().expect("another place");
    assert_eq!(refresh.as_str(), "https://acme.example/refresh");
    let machine = both.client_credentials.as_ref().expect("the client itself");
    assert_eq!(machine.token_url.as_str(), "https://acme.example/machines");
    assert_eq!(machine.scopes.keys().collect::<Vec<_>>(), ["jobs"]);
    assert_eq!(both.scopes().into_keys().collect::<Vec<_>>(), ["jobs", "read", "write"]);

    let alone = oauth(&json!({ "type": "oauth2", "flows": { "clientCredentials": client } }));
    assert!(alone.authorization_code.is_none() && alone.client_credentials.is_some());
    let alone = oauth(&code());
    assert!(alone.authorization_code.is_some() && alone.client_credentials.is_none());
    assert_eq!(alone.dialect, Dialect::default());
    assert!(alone.dialect.pkce, "a code challenge is sent unless the document says otherwise");
}

#[test]
fn a_scheme_without_a_grant_or_with_a_bad_address_is_left_out() {
    for flows in [
        json!({}),
        json!({ "implicit": {}, "password": {} }),
        json!({ "clientCredentials": {} }),
        json!({ "clientCredentials": { "tokenUrl": "/token" } }),
        json!({ "authorizationCode": { "tokenUrl": "https://acme.example/token" } }),
        json!({ "authorizationCode": { "authorizationUrl": "https://acme.example/a#b",
            "tokenUrl": "https://acme.example/token" } }),
        json!({ "authorizationCode": { "authorizationUrl": "https://acme.example/a",
            "tokenUrl": "https://:p@acme.example/token" } }),
        json!({ "authorizationCode": { "authorizationUrl": "https://acme.example/a",
            "tokenUrl": "https://acme.example/token", "refreshUrl": "ftp://acme.example" } }),
    ] {
        let (scheme, lines) = map(&json!({ "type": "oauth2", "flows": flows }));
        assert!(scheme.is_none(), "{flows}");
        assert_eq!(lines.len(), 1, "{flows}: {lines:#?}");
    }
    for url in [Value::Null, json!("acme.example"), json!("mailto:a@acme.example")] {
        let (scheme, lines) = map(&json!({ "type": "openIdConnect", "openIdConnectUrl": url }));
        assert!(scheme.is_none() && lines.len() == 1, "{url}");
    }
}

#[test]
fn the_extension_says_what_openapi_cannot() {
    let extension = json!({
        "issuer": "https://acme.example",
        "revocationUrl": "https://acme.example/revoke",
        "authorize": { "access_type": "offline", "prompt": "consent" },
        "scopeSeparator": ",",
        "clientAuthentication": "post",
        "pkce": false,
    });
    let check = |dialect: &Dialect| {
        let issuer = dialect.issuer.as_ref().expect("an issuer");
        assert_eq!(issuer.as_str(), "https://acme.example", "byte by byte, no slash added");
        let revocation = dialect.revocation_url.as_ref().expect("an address");
        assert_eq!(revocation.as_str(), "https://acme.example/revoke");
        let authorize: Vec<_> = dialect.authorize.iter().collect();
        assert_eq!(authorize.len(), 2);
        assert_eq!(authorize[0], (&"access_type".to_owned(), &"offline".to_owned()));
        assert_eq!(dialect.scope_separator, ScopeSeparator::Comma);
        assert_eq!(dialect.scope_separator.as_str(), ",");
        assert_eq!(dialect.client_authentication, Some(ClientAuthentication::Post));
        assert!(!dialect.pkce);
    };
    let mut scheme = code();
    scheme["x-keystile-oauth"] = extension.clone();
    check(&oauth(&scheme).dialect);
    let (scheme, lines) = map(&json!({
        "type": "openIdConnect", "x-keystile-oauth": extension,
        "openIdConnectUrl": "https://acme.example/.well-known/openid-configuration",
    }));
    let Some(AuthScheme::OpenIdConnect(connect)) = scheme else { panic!("{lines:#?}") };
    assert_eq!(connect.url.path(), "/.well-known/openid-configuration");
    check(&connect.dialect);
}

#[test]
fn what_the_protocol_sets_is_not_for_documents() {
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "request",
        "request_uri",
    ] {
        let mut scheme = code();
        scheme["x-keystile-oauth"] = json!({ "authorize": { "prompt": "consent", name: "x" } });
        let (mapped, lines) = map(&scheme);
        assert!(mapped.is_none(), "{name}");
        let place = "/components/securitySchemes/a/x-keystile-oauth";
        assert_eq!(lines, [format!("{place}: authorize may not set {name}")]);

        let mut scheme = code();
        let url = format!("https://acme.example/authorize?owner=user&{name}=x");
        scheme["flows"]["authorizationCode"]["authorizationUrl"] = json!(url);
        let (mapped, lines) = map(&scheme);
        assert!(mapped.is_none() && lines[0].contains("the query of authorizationUrl"), "{name}");
    }
    let mut scheme = code();
    let url = "https://acme.example/authorize?owner=user";
    scheme["flows"]["authorizationCode"]["authorizationUrl"] = json!(url);
    let person = oauth(&scheme).authorization_code.expect("a person consents");
    assert_eq!(person.authorization_url.as_str(), url, "another query is kept");
    scheme["x-keystile-oauth"] = json!({ "authorize": { "owner": "workspace" } });
    assert!(map(&scheme).0.is_none(), "and nothing is set twice");
}

#[test]
fn a_typing_error_in_the_extension_leaves_the_scheme_out() {
    for (extension, expected) in [
        (json!({ "revokeUrl": "https://acme.example" }), "unknown field"),
        (json!({ "revocationUrl": "/revoke" }), "revocationUrl is not"),
        (json!({ "issuer": "acme.example" }), "an issuer is"),
        (json!({ "issuer": "https://acme.example?x=1" }), "an issuer is"),
        (json!({ "issuer": "https://acme.example#x" }), "an issuer is"),
        (json!({ "issuer": "https://acme.example\n" }), "an issuer is"),
        (json!({ "scopeSeparator": "+" }), "unknown variant"),
        (json!({ "clientAuthentication": "none" }), "unknown variant"),
        (json!({ "pkce": "yes" }), "invalid type"),
        (json!({ "authorize": { "max_age": 1 } }), "invalid type"),
        (json!({ "authorize": { "": "x" } }), "wrong length"),
        (json!("post"), "invalid type"),
    ] {
        let mut scheme = code();
        scheme["x-keystile-oauth"] = extension;
        let (mapped, lines) = map(&scheme);
        assert!(mapped.is_none() && lines[0].contains(expected), "{expected}: {lines:#?}");
    }
    for scheme in [
        json!({ "type": "http", "scheme": "basic", "x-keystile-oauth": {} }),
        json!({ "type": "http", "scheme": "basic", "x-keystile-oauht": {} }),
    ] {
        let (mapped, lines) = map(&scheme);
        assert!(mapped.is_some() && lines[0].ends_with("not known here"), "{lines:#?}");
    }
}

#[test]
fn a_scheme_is_no_larger_than_allowed() {
    let scopes = |count: usize| {
        let all: Map<String, Value> = (0..count).map(|n| (format!("s{n}"), json!(""))).collect();
        let mut scheme = code();
        scheme["flows"]["authorizationCode"]["scopes"] = json!(all);
        let (scheme, lines) = map(&scheme);
        let Some(AuthScheme::OAuth2(oauth)) = scheme else { panic!("{lines:#?}") };
        (oauth.scopes().len(), lines.len())
    };
    assert_eq!(scopes(limits::DECLARED_SCOPES), (limits::DECLARED_SCOPES, 0));
    assert_eq!(scopes(limits::DECLARED_SCOPES + 9), (limits::DECLARED_SCOPES, 1));

    let long = "s".repeat(limits::NAME_BYTES + 1);
    for name in ["", "a b", "a\"", "a\\", "a,b", "é", "a\n", &long] {
        let mut scheme = code();
        scheme["flows"]["authorizationCode"]["scopes"] = json!({ name: "x", "read": "Read" });
        let (scheme, lines) = map(&scheme);
        let Some(AuthScheme::OAuth2(oauth)) = scheme else { panic!("{lines:#?}") };
        assert_eq!(oauth.scopes().into_keys().collect::<Vec<_>>(), ["read"], "{name}");
        assert!(lines[0].ends_with("not a scope: left out"), "{lines:#?}");
    }

    let extended = |extension: Value| {
        let mut scheme = code();
        scheme["x-keystile-oauth"] = extension;
        map(&scheme).0.is_some()
    };
    let names = |count: usize| {
        let all: Map<String, Value> = (0..count).map(|n| (format!("p{n}"), json!("x"))).collect();
        extended(json!({ "authorize": all }))
    };
    assert!(names(limits::AUTHORIZE_PARAMETERS) && !names(limits::AUTHORIZE_PARAMETERS + 1));
    let text = |bytes: usize| "x".repeat(bytes);
    let edge = limits::NAME_BYTES;
    assert!(extended(json!({ "authorize": { text(edge): text(edge) } })));
    assert!(!extended(json!({ "authorize": { text(edge + 1): "x" } })));
    assert!(!extended(json!({ "authorize": { "x": text(edge + 1) } })));
    let address = |bytes: usize| {
        let base = "https://acme.example/";
        extended(json!({ "revocationUrl": format!("{base}{}", text(bytes - base.len())) }))
    };
    assert!(address(limits::ADDRESS_BYTES) && !address(limits::ADDRESS_BYTES + 1));
}
