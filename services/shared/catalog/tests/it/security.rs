//! How a connection proves itself: security schemes and what refers to them.

use crate::support::{base, document, lines, operation, parameter, parse, run};
use keystile_catalog::{
    AuthScheme, Field, KeyPlace, OAuth2,
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

/// A document whose operations want these, with a key in each of two headers and a query.
fn keys(securities: &[Value]) -> Value {
    let paths = securities.iter().enumerate().map(|(n, security)| {
        let answer = json!({ "204": { "description": "done" } });
        (format!("/p{n}"), json!({ "get": { "security": security, "responses": answer } }))
    });
    let mut document = document(Value::Object(paths.collect()));
    let key = |place, name| json!({ "type": "apiKey", "in": place, "name": name });
    document["components"] = json!({ "securitySchemes": {
        "app": key("header", "X-App"), "user": key("header", "X-User"),
        "token": key("query", "token"), "same": key("header", "x-app"),
        "basic": { "type": "http", "scheme": "basic" },
    } });
    document
}

fn fields(labels: &[&str]) -> AuthScheme {
    let field = |label: &&str| {
        let (place, name) = match *label {
            "app" => (KeyPlace::Header, "X-App"),
            "user" => (KeyPlace::Header, "X-User"),
            _ => (KeyPlace::Query, "token"),
        };
        Field { label: (*label).to_owned(), place, name: name.to_owned() }
    };
    AuthScheme::Fields(labels.iter().map(field).collect())
}

#[test]
fn keys_that_are_wanted_together_make_one_connection() {
    let (app, report) = parse(&keys(&[
        json!([{ "app": [], "user": [] }]),
        json!([{ "user": [], "app": [] }, { "app": [], "token": [], "user": [] }]),
    ]));
    assert!(report.is_empty(), "{report:#?}");
    assert_eq!(app.components.len(), 2);
    let same = AuthScheme::ApiKey { place: KeyPlace::Header, name: "x-app".to_owned() };
    let together = [fields(&["app", "token", "user"]), fields(&["app", "user"])];
    assert_eq!(app.security[..2], [AuthScheme::Basic, same], "those that nothing names stay");
    assert_eq!(app.security[2..], together, "and no part stands alone");

    let (app, _) = parse(&keys(&[json!([{ "app": [], "user": [] }]), json!([{ "app": [] }])]));
    let alone = AuthScheme::ApiKey { place: KeyPlace::Header, name: "X-App".to_owned() };
    assert!(app.security.contains(&alone), "one operation takes it alone");
}

#[test]
fn what_one_connection_cannot_hold_is_left_out() {
    for alternative in [
        json!({ "app": [], "basic": [] }),
        json!({ "app": [], "same": [] }),
        json!({ "app": [], "gone": [] }),
    ] {
        let (app, report) = parse(&keys(&[json!([alternative])]));
        assert!(app.components.is_empty(), "{alternative}");
        assert!(lines(&report)[0].contains("no mapped security scheme suffices"), "{report:#?}");
        assert!(!app.security.iter().any(|scheme| matches!(scheme, AuthScheme::Fields(_))));
        let (app, _) = parse(&keys(&[json!([alternative, { "basic": [] }])]));
        assert_eq!(app.components.len(), 1, "another alternative will do");
    }
}

#[test]
fn keys_are_combined_only_so_often() {
    let many = |keys: usize| {
        let names = |count: usize| (0..count).map(|n| (format!("k{n:02}"), json!([])));
        let mut document = document(json!({}));
        let schemes: Map<String, Value> = names(keys + 1)
            .map(|(name, _)| {
                let scheme =
                    json!({ "type": "apiKey", "in": "header", "name": format!("X-{name}") });
                (name, scheme)
            })
            .collect();
        document["components"] = json!({ "securitySchemes": schemes });
        (document, names)
    };
    let answer = json!({ "204": { "description": "done" } });
    let (mut wide, names) = many(limits::FIELDS + 1);
    let mut map = |count: usize| {
        let all: Map<String, Value> = names(count).collect();
        wide["paths"] = json!({ "/x": { "get": { "security": [all], "responses": answer } } });
        parse(&wide).0.components.len()
    };
    assert_eq!((map(limits::FIELDS), map(limits::FIELDS + 1)), (1, 0));

    let (mut often, _) = many(limits::COMBINATIONS + 1);
    let pairs = (1..=limits::COMBINATIONS + 1).map(|n| {
        let security = json!([{ "k00": [], format!("k{n:02}"): [] }]);
        (format!("/p{n}"), json!({ "get": { "security": security, "responses": answer } }))
    });
    often["paths"] = Value::Object(pairs.collect());
    assert_eq!(parse(&often).0.components.len(), limits::COMBINATIONS);
}

#[test]
fn no_input_reaches_a_field() {
    let mut document = operation(
        "get",
        "/x",
        json!({
            "security": [{ "app": [], "token": [] }],
            "parameters": [
                parameter("x-APP", "header", json!({})),
                parameter("token", "query", json!({})),
                parameter("filter", "query", json!({ "type": "object" })),
            ],
        }),
    );
    document["components"] = keys(&[])["components"].clone();
    let (app, report) = parse(&document);
    assert!(report.is_empty(), "{report:#?}");
    let inputs = run(&app).inputs["properties"].as_object().expect("properties");
    assert_eq!(inputs.keys().collect::<Vec<_>>(), ["filter"]);
    let request = |key: &str| run(&app).request(&app, &base(), &json!({ "filter": { key: "x" } }));
    assert!(request("colour").is_ok() && request("token").is_err());
}
