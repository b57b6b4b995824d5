//! Documents at the edge of what is allowed, and documents made to hurt.

use std::fmt::Write as _;

use crate::support::{body, document, lines, operation, parameter, parse, refuse, run};
use keystile_catalog::{Error, limits};
use serde_json::{Value, json};

fn too_large(error: &Error) -> &'static str {
    match error {
        Error::TooLarge { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn a_document_has_at_most_so_many_bytes() {
    let text = operation("get", "/x", json!({})).to_string();
    let padded = |to: usize| format!("{text}{}", " ".repeat(to - text.len()));
    let key = || "acme".parse().expect("a key");
    assert!(keystile_catalog::App::parse(key(), &padded(limits::DOCUMENT_BYTES)).is_ok());
    assert_eq!(too_large(&refuse(&padded(limits::DOCUMENT_BYTES + 1))), "bytes");
}

#[test]
fn a_document_has_at_most_so_many_operations() {
    let paths = |count: usize| {
        let path = |n: usize| {
            (format!("/p{n}"), json!({ "get": { "responses": { "204": { "description": "" } } } }))
        };
        Value::Object((0..count).map(path).collect())
    };
    let (app, report) = parse(&document(paths(limits::COMPONENTS)));
    assert_eq!(app.components.len(), limits::COMPONENTS);
    assert!(report.is_empty());
    let error = refuse(&document(paths(limits::COMPONENTS + 1)).to_string());
    assert_eq!(too_large(&error), "operations");
}

#[test]
fn a_document_nests_at_most_so_deep() {
    let nested = |levels: usize, yaml: bool| {
        let inner = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        if yaml {
            format!("openapi: 3.1.0\ninfo: {{ title: Acme }}\nx-deep: {inner}\n")
        } else {
            format!(r#"{{ "openapi": "3.1.0", "info": {{ "title": "Acme" }}, "x-deep": {inner} }}"#)
        }
    };
    for yaml in [false, true] {
        let key = "acme".parse().expect("a key");
        // The root is a level, too.
        let edge = nested(limits::DOCUMENT_DEPTH - 1, yaml);
        assert!(keystile_catalog::App::parse(key, &edge).is_ok(), "yaml: {yaml}");
        refuse(&nested(limits::DOCUMENT_DEPTH, yaml));
    }
    assert_eq!(too_large(&refuse(&nested(limits::DOCUMENT_DEPTH, false))), "levels of nesting");
    // Parsers that look back at every open bracket take minutes over this one.
    refuse(&format!("a: {}", "[".repeat(1_000_000)));
    refuse(&format!("{{\"a\": {}", "[".repeat(1_000_000)));
    refuse(&"- ".repeat(1_000_000));
}

#[test]
fn yaml_bombs_are_refused() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        writeln!(laughs, "a{n}: &a{n} [{aliases}]").expect("to a string");
    }
    assert_eq!(too_large(&refuse(&laughs)), "values");

    let mut copies = format!("text: &text {}\nall:\n", "x".repeat(1_000_000));
    for _ in 0..2_000 {
        copies.push_str("  - *text\n");
    }
    assert_eq!(too_large(&refuse(&copies)), "bytes");

    refuse("a: &a [*a]");
    refuse("a: *gone");
    refuse("a: 1\na: 2");
    assert!(refuse(r#"{ "a": 1, "a": 2 }"#).to_string().contains("a key is repeated"));
    refuse("a: !!binary x\n---\nb: 1\n");
    refuse("\0");
    refuse("");
}

#[test]
fn other_formats_are_named() {
    for text in [
        r#"{ "swagger": "2.0" }"#,
        "openapi: 3.2.0",
        "openapi: 4.0.0",
        "openapi: 3.1",
        "a: 1",
        "[]",
        "text",
    ] {
        assert_eq!(refuse(text), Error::Version, "{text}");
    }
    assert!(matches!(refuse("a: [1"), Error::Syntax(_)));
    assert!(matches!(refuse("{ \"a\": "), Error::Syntax(_)));
    assert!(matches!(refuse("openapi: 3.1.0"), Error::Document { .. }));
}

#[test]
fn a_schema_nests_at_most_so_deep() {
    let nested = |levels: usize| {
        (0..levels).fold(
            json!({ "type": "string" }),
            |inner, _| json!({ "type": "array", "items": inner }),
        )
    };
    let report = |schema: Value| {
        // A schema in a reference starts near the top of the document.
        parse(&operation("post", "/x", json!({ "requestBody": body(schema) }))).1
    };
    assert!(report(nested(limits::SCHEMA_DEPTH)).is_empty());
    assert!(lines(&report(nested(limits::SCHEMA_DEPTH + 1)))[0].contains("levels deep"));
}

#[test]
fn references_nest_at_most_so_deep() {
    let report = |links: usize| {
        let name = |n: usize| format!("s{n}");
        let schema = |n: usize| {
            let next = format!("#/components/schemas/s{}", n + 1);
            if n == links { json!({ "type": "string" }) } else { json!({ "$ref": next }) }
        };
        let first = json!({ "$ref": "#/components/schemas/s1" });
        let mut document = operation("post", "/x", json!({ "requestBody": body(first) }));
        let all = (1..=links).map(|n| (name(n), schema(n))).collect();
        document["components"] = json!({ "schemas": Value::Object(all) });
        parse(&document).1
    };
    assert!(report(limits::REFERENCE_DEPTH).is_empty());
    let over = report(limits::REFERENCE_DEPTH + 1);
    assert!(lines(&over)[0].contains("references inside each other"), "{over:#?}");
}

#[test]
fn a_schema_that_doubles_with_each_reference_is_left_out() {
    let schema = |n: usize| {
        let next = json!({ "$ref": format!("#/components/schemas/s{}", n + 1) });
        json!({ "anyOf": [next, { "type": "array", "items": next }] })
    };
    let mut all: serde_json::Map<String, Value> =
        (0..20).map(|n| (format!("s{n}"), schema(n))).collect();
    all.insert("s20".to_owned(), json!({ "type": "string" }));
    let first = json!({ "$ref": "#/components/schemas/s0" });
    let mut doubling = operation("post", "/x", json!({ "requestBody": body(first) }));
    doubling["components"] = json!({ "schemas": all });
    let (app, report) = parse(&doubling);
    assert!(app.components.is_empty());
    assert!(lines(&report)[0].contains("bytes once its references are written out"));

    // Many schemas, each within its bound, together pass the bound of the app.
    let text = "x".repeat(200_000);
    let big = json!({ "type": "object", "properties": { "a": { "description": text } } });
    let operation = json!({ "requestBody": body(json!({ "$ref": "#/components/schemas/Big" })),
                            "responses": { "204": { "description": "" } } });
    let paths = (0..60).map(|n| (format!("/p{n}"), json!({ "post": operation }))).collect();
    let mut large = document(Value::Object(paths));
    large["components"] = json!({ "schemas": { "Big": big } });
    assert_eq!(too_large(&refuse(&large.to_string())), "bytes of schemas");
}

#[test]
fn a_pattern_is_linear_and_small_or_not_checked() {
    let report = |pattern: &str| {
        let schema = json!({ "type": "object", "properties": {
            "a": { "type": "string", "pattern": pattern },
        } });
        let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": body(schema) })));
        (run(&app).inputs["properties"]["a"].get("pattern").is_some(), lines(&report))
    };
    for good in ["^[a-z]+$", "^(a+)+$", r"^\d{4}-\d{2}-\d{2}$", &"a".repeat(limits::PATTERN_CHARS)]
    {
        assert_eq!(report(good), (true, Vec::new()), "{good}");
    }
    for bad in
        ["^(?=a)b", r"(a)\1", "(((a{100}){100}){100})", "[", &"a".repeat(limits::PATTERN_CHARS + 1)]
    {
        let (kept, lines) = report(bad);
        assert!(!kept && lines[0].contains("not checked"), "{bad}: {lines:?}");
    }
}

#[test]
fn a_pattern_that_backtracking_engines_choke_on_is_answered_at_once() {
    let schema = json!({ "type": "object", "properties": {
        "a": { "type": "string", "pattern": "^(a+)+$" },
    } });
    let (app, _) = parse(&operation("post", "/x", json!({ "requestBody": body(schema) })));
    let faults = run(&app).validate(&json!({ "a": format!("{}!", "a".repeat(100_000)) }));
    assert_eq!(faults.expect_err("no match").len(), 1);
}

#[test]
fn an_operation_has_at_most_so_many_parameters_and_no_endless_names() {
    let run = |count: usize, name: &str| {
        let all: Vec<Value> =
            (0..count).map(|n| parameter(&format!("{name}{n}"), "query", json!({}))).collect();
        let (app, report) = parse(&operation("get", "/x", json!({ "parameters": all })));
        (app.components.len(), report.lines().len())
    };
    assert_eq!(run(limits::PARAMETERS, "p"), (1, 0));
    // The second line says that the app is empty.
    assert_eq!(run(limits::PARAMETERS + 1, "p"), (0, 2));
    assert_eq!(run(1, &"p".repeat(limits::NAME_BYTES - 1)), (1, 0));
    assert_eq!(run(1, &"p".repeat(limits::NAME_BYTES)), (1, 1));
    let path = format!("/{}", "p".repeat(limits::NAME_BYTES));
    assert!(parse(&operation("get", &path, json!({}))).0.components.is_empty());
}

#[test]
fn a_report_keeps_so_many_lines_and_counts_the_rest() {
    let many: serde_json::Map<String, Value> =
        (0..limits::REPORT_LINES + 7).map(|n| (format!("a{n}"), json!(1))).collect();
    let mut document = operation("get", "/x", json!({}));
    document.as_object_mut().expect("an object").extend(many);
    let (_, report) = parse(&document);
    assert_eq!((report.lines().len(), report.omitted()), (limits::REPORT_LINES, 7));
}

#[test]
fn a_schema_that_is_none_costs_only_its_operation() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "strng" } } });
    let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": body(schema) })));
    assert!(app.components.is_empty());
    assert!(lines(&report)[0].contains("input schema is not valid"), "{report:#?}");
}
