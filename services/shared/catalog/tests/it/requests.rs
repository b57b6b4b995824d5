//! Inputs to requests: what is checked, and what no input can do.

use crate::support::{base, body, operation, parameter, parse, run};
use std::sync::LazyLock;

use keystile_catalog::{App, Error, OutsideRequest, limits};
use proptest::prelude::*;
use serde_json::{Value, json};

fn request(app: &App, inputs: &Value) -> Result<OutsideRequest, Error> {
    run(app).request(app, &base(), inputs)
}

/// One parameter called `a`.
fn app(place: &str, parts: &Value) -> App {
    let mut part = parameter("a", place, json!({}));
    part.as_object_mut().expect("an object").extend(parts.as_object().expect("an object").clone());
    let path = if place == "path" { "/things/{a}/parts" } else { "/things" };
    parse(&operation("get", path, json!({ "parameters": [part] }))).0
}

#[test]
fn faults_point_at_the_input_and_never_repeat_it() {
    let document = operation(
        "post",
        "/send",
        json!({ "requestBody": body(json!({
        "type": "object",
        "required": ["to", "subject"],
        "properties": {
            "to": { "type": "array", "items": { "type": "string", "maxLength": 20 }, "maxItems": 3 },
            "subject": { "type": "string" },
            "kind": { "enum": ["plain", "html"] },
            "n/~": { "type": "integer", "minimum": 1 },
            "either": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
        },
    })) }),
    );
    let (app, report) = parse(&document);
    assert!(report.is_empty(), "{report:#?}");
    let secret = "s3cret-canary-that-is-too-long";
    let inputs = json!({
        "to": [secret, 7], "kind": secret, "n/~": 0, "either": [secret], "extra": secret,
    });
    let faults = run(&app).validate(&inputs).expect_err("faults");
    let mut seen: Vec<(&str, &str)> =
        faults.iter().map(|fault| (fault.pointer.as_str(), fault.message.as_str())).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            ("/either", "must match one of the alternatives"),
            ("/extra", "is not an input"),
            ("/kind", "must be one of [\"plain\",\"html\"]"),
            ("/n~1~0", "must be at least 1"),
            ("/subject", "is required"),
            ("/to/0", "must have at most 20 characters"),
            ("/to/1", "must be of type string"),
        ]
    );
    assert!(!format!("{faults:?}").contains("canary"));
    assert_eq!(run(&app).validate(&json!({ "to": [], "subject": "" })), Ok(()));
    let not_an_object = run(&app).validate(&json!([])).expect_err("no object");
    assert_eq!(not_an_object[0].pointer, "");
    let many = json!({ "to": vec![7; 1_000], "subject": "" });
    assert_eq!(run(&app).validate(&many).expect_err("many").len(), limits::FAULTS);
}

#[test]
fn a_path_value_never_leaves_its_segment() {
    let app = app("path", &json!({}));
    for (value, expected) in [
        ("x", "x"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("a\\b", "a%5Cb"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("{a}", "%7Ba%7D"),
        ("...", "..."),
        ("a..b", "a..b"),
        (".git", ".git"),
        ("a;b,c", "a%3Bb%2Cc"),
        ("@evil.example", "%40evil.example"),
        ("http://evil.example", "http%3A%2F%2Fevil.example"),
        ("é", "%C3%A9"),
        ("\u{2024}\u{2024}", "%E2%80%A4%E2%80%A4"),
    ] {
        let request = request(&app, &json!({ "a": value })).expect(value);
        let expected = format!("https://api.acme.example/v1/things/{expected}/parts");
        assert_eq!(request.url.as_str(), expected);
    }
    for value in [
        "",
        ".",
        "..",
        "../x",
        "x/..",
        "x/../y",
        "..\\x",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "..%2f",
        "a%2f..%2fb",
        "a%5c..%5cb",
        "%2e",
        "a/./b",
        "a\0",
        "a\r\nb",
        "\u{7f}",
        &"x".repeat(1_025),
    ] {
        let error = request(&app, &json!({ "a": value })).expect_err(value);
        assert!(matches!(&error, Error::Input { pointer, .. } if pointer == "/a"), "{value}");
        assert!(value.len() < 3 || !error.to_string().contains(value), "{value} is repeated");
    }
    for value in [json!(null), json!([]), json!({}), json!([["a"]]), json!(["a", ".."])] {
        assert!(request(&app, &json!({ "a": value })).is_err(), "{value}");
    }
    assert!(request(&app, &json!({})).is_err());
}

/// Threat 20: a value of a path, read by the least careful of servers.
#[test]
fn no_spelling_of_a_climb_gets_into_a_path() {
    const DOTS: [&str; 8] =
        ["..", "%2e%2e", ".%2E", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae.", ".", "%2e"];
    const PARAMETERS: [&str; 7] = ["", ";", ";a", ";a=b;c", "%3b", "%253Ba", " "];
    const SLASHES: [&str; 7] = ["/", "\\", "%2f", "%5C", "%252f", "%c0%af", "%c1%9c"];
    let app = app("path", &json!({}));
    let mut refused = 0;
    let mut refuse = |value: String| {
        let outcome = request(&app, &json!({ "a": value }));
        assert!(outcome.is_err(), "{value:?} became {}", outcome.expect("a request").url);
        refused += 1;
    };
    for dots in DOTS {
        for parameter in PARAMETERS {
            let climb = format!("{dots}{parameter}");
            refuse(climb.clone());
            for slash in SLASHES {
                refuse(format!("{climb}{slash}admin"));
                refuse(format!("a{slash}{climb}"));
                refuse(format!("a{slash}{climb}{slash}{climb}{slash}admin"));
            }
        }
    }
    assert!(refused >= 1_000, "{refused}");
}

#[test]
fn values_that_are_harmless_apart_cannot_climb_together() {
    let parts = json!({ "parameters": [
        parameter("a", "path", json!({})), parameter("b", "path", json!({})),
    ] });
    let (app, _) = parse(&operation("get", "/things/{a}{b}", parts));
    assert!(request(&app, &json!({ "a": ".", "b": "." })).is_err());
    let parts = json!({ "parameters": [parameter("a", "path", json!({}))] });
    let (app, _) = parse(&operation("get", "/things/.{a}", parts));
    assert!(request(&app, &json!({ "a": "." })).is_err());
    assert!(request(&app, &json!({ "a": "%2e" })).is_err());
}

#[test]
fn lists_and_objects_are_written_as_their_style_says() {
    let list = json!({ "a": ["x y", 2, true] });
    let object = json!({ "a": { "k": "v&w", "n": 1 } });
    for (parts, inputs, expected) in [
        (json!({}), &list, "a=x%20y&a=2&a=true"),
        (json!({ "explode": false }), &list, "a=x%20y,2,true"),
        (json!({ "style": "spaceDelimited", "explode": false }), &list, "a=x%20y%202%20true"),
        (json!({ "style": "pipeDelimited", "explode": false }), &list, "a=x%20y%7C2%7Ctrue"),
        (json!({}), &object, "k=v%26w&n=1"),
        (json!({ "explode": false }), &object, "a=k,v%26w,n,1"),
        (json!({ "style": "deepObject" }), &object, "a%5Bk%5D=v%26w&a%5Bn%5D=1"),
        (json!({ "content": { "application/json": {} } }), &list, "a=%5B%22x%20y%22%2C2%2Ctrue%5D"),
        (json!({}), &json!({ "a": "&b=c#d" }), "a=%26b%3Dc%23d"),
    ] {
        let request = request(&app("query", &parts), inputs).expect("a request");
        assert_eq!(request.url.query(), Some(expected), "{parts} {inputs}");
    }
    for nothing in [json!({}), json!({ "a": null }), json!({ "a": [] })] {
        assert_eq!(
            request(&app("query", &json!({})), &nothing).expect("a request").url.query(),
            None
        );
    }
}

#[test]
fn a_header_value_stays_in_its_line() {
    let app = app("header", &json!({}));
    let ok = request(&app, &json!({ "a": "b; c=d" })).expect("a request");
    assert_eq!(ok.headers["a"], "b; c=d");
    for value in ["a\r\nHost: evil.example", "a\nb", "a\rb", "a\0b", "é", "\u{7f}"] {
        let error = request(&app, &json!({ "a": value })).expect_err(value);
        assert_eq!(error.to_string(), "/a: must be printable ASCII in one line");
    }
}

#[test]
fn no_input_reaches_where_a_credential_travels() {
    let mut document = operation(
        "get",
        "/things",
        json!({ "parameters": [
        parameter("filter", "query", json!({ "type": "object" })),
        parameter("limit", "query", json!({})),
        parameter("Authorization", "header", json!({})),
        parameter("X-KEY", "header", json!({})),
    ] }),
    );
    document["components"] = json!({ "securitySchemes": {
        "query": { "type": "apiKey", "in": "query", "name": "token" },
        "header": { "type": "apiKey", "in": "header", "name": "X-Key" },
    } });
    let (app, _) = parse(&document);
    for key in ["token", "limit", "filter", ""] {
        // An exploded object would otherwise write any name that the caller likes.
        let inputs = json!({ "filter": { key: "x" } });
        assert!(request(&app, &inputs).is_err(), "{key}");
    }
    assert!(request(&app, &json!({ "filter": { "colour": "red" } })).is_ok());
    for name in ["Authorization", "authorization", "X-KEY", "token", "Host", "Cookie"] {
        let error = request(&app, &json!({ name: "x" })).expect_err(name);
        assert_eq!(error.to_string(), format!("/{name}: is not an input"));
    }
}

#[test]
fn a_form_is_written_as_pairs() {
    let schema = json!({ "type": "object", "required": ["a"], "properties": {
        "a": { "type": "string" }, "b": { "type": "array" }, "c": { "type": "object" },
        "d": { "type": "object" },
    } });
    let content = json!({ "application/x-www-form-urlencoded": {
        "schema": schema, "encoding": { "d": { "style": "deepObject", "explode": true } },
    } });
    let body = json!({ "required": true, "content": content });
    let (app, report) = parse(&operation("post", "/things", json!({ "requestBody": body })));
    assert!(report.is_empty(), "{report:#?}");
    let inputs = json!({ "a": "x=1&y", "b": [1, 2], "c": { "k": 1 }, "d": { "k": ["v"] } });
    let (kind, bytes) = request(&app, &inputs).expect("a request").body.expect("a body");
    assert_eq!(kind, "application/x-www-form-urlencoded");
    assert_eq!(
        String::from_utf8(bytes).expect("text"),
        "a=x%3D1%26y&b=1&b=2&c=%7B%22k%22%3A1%7D&d%5Bk%5D%5B0%5D=v"
    );
}

/// An object with constants, and with what only looks like one.
fn fixed() -> Value {
    json!({ "type": "object", "required": ["query", "kind", "n", "deep", "none", "free"],
        "properties": {
            "query": { "type": "string", "const": "query { me & you }" },
            "kind": { "enum": ["only"] },
            "n": { "const": 7 },
            "deep": { "const": { "a": [true, null] } },
            "none": { "const": null },
            "free": { "enum": ["a", "b"] },
            "maybe": { "const": "x" },
        } })
}

#[test]
fn what_a_json_body_always_says_is_no_input_and_is_sent() {
    let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": body(fixed()) })));
    assert!(report.is_empty(), "{report:#?}");
    let inputs: Vec<_> =
        run(&app).inputs["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(inputs, ["free", "maybe"], "what may be left out stays an input");
    assert_eq!(run(&app).required, ["free"]);
    let sent = |inputs: Value| {
        let (kind, bytes) = request(&app, &inputs).expect("a request").body.expect("a body");
        assert_eq!(kind, "application/json");
        serde_json::from_slice::<Value>(&bytes).expect("JSON")
    };
    let fixed = json!({ "query": "query { me & you }", "kind": "only", "n": 7,
                        "deep": { "a": [true, null] }, "none": null, "free": "a" });
    assert_eq!(sent(json!({ "free": "a" })), fixed);
    for name in ["query", "kind", "n", "deep", "none"] {
        let inputs = json!({ "free": "a", name: fixed[name] });
        assert!(run(&app).validate(&inputs).is_err(), "{name}");
        assert!(request(&app, &inputs).is_err(), "a caller does not set {name}");
    }

    let only = json!({ "type": "object", "required": ["query"],
                       "properties": { "query": { "const": "query { me }" } } });
    let (app, _) = parse(&operation("post", "/x", json!({ "requestBody": body(only) })));
    assert_eq!(run(&app).inputs["properties"], json!({}));
    let sent = request(&app, &json!({})).expect("a request").body.expect("a body");
    assert_eq!(sent.1, br#"{"query":"query { me }"}"#);
}

#[test]
fn what_a_form_always_says_is_sent_if_it_can_be_written() {
    let content = json!({ "application/x-www-form-urlencoded": { "schema": fixed() } });
    let body = json!({ "required": true, "content": content });
    let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": body })));
    assert!(report.is_empty(), "{report:#?}");
    assert_eq!(run(&app).required, ["deep", "free", "none"]);
    let inputs = json!({ "free": "a", "deep": {}, "none": null });
    let (_, bytes) = request(&app, &inputs).expect("a request").body.expect("a body");
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(text, "kind=only&n=7&query=query%20%7B%20me%20%26%20you%20%7D&deep=%7B%7D&free=a");
}

#[test]
fn a_body_that_may_be_left_out_has_no_constants() {
    let mut optional = body(fixed());
    optional["required"] = json!(false);
    let (app, _) = parse(&operation("post", "/x", json!({ "requestBody": optional })));
    assert_eq!(request(&app, &json!({})).expect("a request").body, None);
    assert!(run(&app).inputs["properties"].get("body").is_some());
}

#[test]
fn a_body_is_sent_exactly_when_it_is_wanted() {
    let list = json!({ "type": "array" });
    let mut optional = body(list.clone());
    optional["required"] = json!(false);
    let (app, _) = parse(&operation("post", "/x", json!({ "requestBody": optional })));
    assert_eq!(request(&app, &json!({})).expect("a request").body, None);
    let sent = request(&app, &json!({ "body": [1] })).expect("a request").body;
    assert_eq!(sent, Some(("application/json", b"[1]".to_vec())));
    let (app, _) = parse(&operation("post", "/x", json!({ "requestBody": body(list) })));
    assert!(request(&app, &json!({})).is_err());
}

fn any_text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "..",
        ".",
        "/",
        "\\",
        "%2e",
        "%2F",
        "%5c",
        "%25",
        "?",
        "#",
        "@",
        ":",
        "//",
        "\r\n",
        "\0",
        ";",
        "evil.example",
        "https://",
        "&",
        "=",
        "a",
        "é",
        "{a}",
        "{b}",
        " ",
        "\t",
    ]);
    prop_oneof![
        prop::collection::vec(nasty, 0..8).prop_map(|parts| parts.concat()),
        any::<String>(),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any_text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..3)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

static THINGS: LazyLock<App> = LazyLock::new(|| {
    let parts = json!({ "parameters": [
        parameter("a", "path", json!({})), parameter("b", "path", json!({})),
        parameter("q", "query", json!({})), parameter("h", "header", json!({})),
    ] });
    parse(&operation("delete", "/things/{a}/x{b}-y", parts)).0
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_never_leaves_its_place(a in any_value(), b in any_value(), q in any_value(), h in any_value()) {
        let Ok(request) = request(&THINGS, &json!({ "a": a, "b": b, "q": q, "h": h })) else { return Ok(()) };
        prop_assert_eq!(request.url.origin(), base().origin());
        prop_assert!(request.url.username().is_empty() && request.url.password().is_none());
        prop_assert!(request.url.fragment().is_none());
        let path: Vec<&str> = request.url.path_segments().expect("segments").collect();
        prop_assert_eq!(path.len(), 4, "{}", request.url);
        prop_assert_eq!(&path[..2], ["v1", "things"]);
        prop_assert!(path[3].starts_with('x') && path[3].ends_with("-y"));
        // What travels is read the same by whoever parses it next.
        prop_assert_eq!(url::Url::parse(request.url.as_str()).expect("a url"), request.url);
        prop_assert!(request.headers.keys().all(|name| name == "accept" || name == "h"));
    }
}
