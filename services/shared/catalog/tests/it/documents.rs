//! From documents to components.

use std::time::Duration;

use crate::support::{base, body, document, lines, operation, parameter, parse, run};
use keystile_catalog::{
    App, AuthScheme, KeyPlace,
    extension::{ConnectionLimits, Rate},
    operation::Place,
};
use serde_json::{Value, json};

#[test]
fn the_dialects_of_3_0_and_3_1_say_the_same() {
    let old = body(json!({
        "type": "object",
        "required": ["a", "id"],
        "properties": {
            "id": { "type": "string", "readOnly": true },
            "a": { "type": "string", "nullable": true, "enum": ["x", "y"], "example": "x" },
            "b": { "type": "integer", "minimum": 1, "exclusiveMinimum": true,
                   "maximum": 9, "exclusiveMaximum": false },
            "c": { "type": "string", "format": "byte" },
            "d": { "nullable": true, "description": "a point",
                   "allOf": [{ "$ref": "#/components/schemas/Point" }] },
            "e": { "$ref": "#/components/schemas/Point", "description": "ignored in 3.0" },
        },
    }));
    let new = body(json!({
        "type": "object",
        "required": ["a", "id"],
        "properties": {
            "id": { "type": "string", "readOnly": true },
            "a": { "type": ["string", "null"], "enum": ["x", "y", null], "examples": ["x"] },
            "b": { "type": "integer", "exclusiveMinimum": 1, "maximum": 9 },
            "c": { "type": "string", "contentEncoding": "base64" },
            "d": { "description": "a point",
                   "anyOf": [{ "allOf": [{ "$ref": "#/components/schemas/Point" }] },
                             { "type": "null" }] },
            "e": { "$ref": "#/components/schemas/Point" },
        },
    }));
    let point = json!({ "type": "object", "properties": { "x": { "type": "number" } } });
    let schema = |version: &str, request: Value| {
        let mut document = operation("post", "/points", json!({ "requestBody": request }));
        document["openapi"] = json!(version);
        document["components"] = json!({ "schemas": { "Point": point } });
        let (app, report) = parse(&document);
        assert!(report.is_empty(), "{report:#?}");
        run(&app).inputs.clone()
    };
    let (old, new) = (schema("3.0.3", old), schema("3.1.1", new));
    assert_eq!(old, new);
    assert_eq!(new["required"], json!(["a"]));
    assert!(new["properties"].get("id").is_none(), "what is read-only is no input");
}

#[test]
fn json_and_yaml_say_the_same() {
    let yaml = r#"
openapi: 3.1.0
info: { title: Acme, version: 1.0 }
servers: [{ url: https://api.acme.example }]
paths:
  /things:
    post:
      operationId: run
      requestBody:
        required: true
        content:
          application/json:
            schema: &thing
              type: object
              properties: { answer: { enum: [yes, no, on], description: "words" } }
      responses:
        200: { description: ok, content: { application/json: { schema: *thing } } }
"#;
    let (app, report) = App::parse("acme".parse().expect("a key"), yaml).expect("a document");
    assert!(report.is_empty(), "{report:#?}");
    let run = run(&app);
    assert_eq!(run.inputs["properties"]["answer"]["enum"], json!(["yes", "no", "on"]));
    assert_eq!(run.outputs["properties"], run.inputs["properties"]);
}

#[test]
fn inputs_that_share_a_name_are_prefixed_by_their_place() {
    let document = operation(
        "put",
        "/things/{id}",
        json!({
            "parameters": [
                parameter("id", "path", json!({ "type": "string" })),
                parameter("id", "query", json!({ "type": "string" })),
                parameter("id", "header", json!({ "type": "string" })),
                parameter("limit", "query", json!({ "type": "integer" })),
            ],
            "requestBody": body(json!({
                "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } },
            })),
        }),
    );
    let (app, report) = parse(&document);
    assert!(report.is_empty(), "{report:#?}");
    let run = run(&app);
    let names: Vec<_> = run.inputs["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(names, ["body_id", "header_id", "limit", "path_id", "query_id"]);
    assert_eq!(run.required, ["body_id", "path_id"]);
    let inputs = json!({ "path_id": "p", "query_id": "q", "header_id": "h", "body_id": "b" });
    let request = run.request(&app, &base(), &inputs).expect("a request");
    assert_eq!(request.url.as_str(), "https://api.acme.example/v1/things/p?id=q");
    assert_eq!(request.headers["id"], "h");
    assert_eq!(request.body.expect("a body").1, br#"{"id":"b"}"#);
}

#[test]
fn a_name_that_is_taken_even_with_its_prefix_costs_only_that_operation() {
    let document = operation(
        "get",
        "/things/{id}",
        json!({ "parameters": [
            parameter("id", "path", json!({})),
            parameter("id", "query", json!({})),
            parameter("query_id", "query", json!({})),
        ] }),
    );
    let (app, report) = parse(&document);
    assert!(app.components.is_empty());
    assert!(lines(&report)[0].contains("two inputs are called query_id"));
}

#[test]
fn a_body_that_is_no_plain_object_is_one_input() {
    for schema in [
        json!({ "type": "array", "items": { "type": "string" } }),
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        json!({ "oneOf": [{ "type": "string" }, { "type": "object" }] }),
        json!({ "type": "object" }),
    ] {
        let document = operation("post", "/things", json!({ "requestBody": body(schema.clone()) }));
        let (app, _) = parse(&document);
        let run = run(&app);
        assert_eq!(run.required, ["body"], "{schema}");
        assert_eq!(run.operation().map(|all| all.parameters[0].place), Some(Place::Body));
    }
    // Parts of a plain object are its properties all the same.
    let parts = json!({ "allOf": [
        { "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } },
        { "type": "object", "properties": { "b": { "type": "string" } } },
    ] });
    let (app, _) = parse(&operation("post", "/things", json!({ "requestBody": body(parts) })));
    assert_eq!(run(&app).inputs["required"], json!(["a"]));
    assert!(run(&app).inputs["properties"].get("b").is_some());
}

#[test]
fn two_operations_of_one_slug_are_reported() {
    let answer = json!({ "204": { "description": "done" } });
    let (app, report) = parse(&document(json!({
        "/a": { "get": { "operationId": "issues/create", "responses": answer } },
        "/b": { "get": { "operationId": "issuesCreate", "responses": answer } },
        "/c": { "get": { "operationId": "日本", "responses": answer } },
        "/d/{x}": { "get": { "responses": answer,
            "parameters": [parameter("x", "path", json!({ "type": "string" }))] } },
    })));
    let ids: Vec<_> = app.components.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["action.acme.get-d-x", "action.acme.issues-create"]);
    let lines = lines(&report);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "/paths/~1b/get: action.acme.issues-create is taken: left out");
    assert!(lines[1].starts_with("/paths/~1c/get: its name has no letters"));
}

#[test]
fn references_are_followed_and_cycles_end() {
    let mut document = operation(
        "post",
        "/nodes",
        json!({ "requestBody": { "$ref": "#/components/requestBodies/Node" } }),
    );
    document["components"] = json!({
        "requestBodies": { "Node": { "$ref": "#/components/requestBodies/Real" },
                           "Real": body(json!({ "$ref": "#/components/schemas/Node" })) },
        "schemas": { "Node": { "type": "object", "properties": {
            "name": { "$ref": "#/components/schemas/Name" },
            "children": { "type": "array", "items": { "$ref": "#/components/schemas/Node" } },
        } }, "Name": { "type": "string" } },
    });
    let (app, report) = parse(&document);
    let properties = &run(&app).inputs["properties"];
    assert_eq!(properties["name"], json!({ "type": "string" }));
    assert_eq!(properties["children"], json!({ "type": "array", "items": {} }));
    assert_eq!(
        lines(&report),
        ["/components/schemas/Node/properties/children/items: \
          refers to a schema that contains it: accepts anything here"]
    );
}

#[test]
fn a_reference_that_leads_nowhere_is_reported() {
    for (reference, expected) in [
        ("#/components/schemas/Gone", "refers to something that does not exist"),
        ("other.yaml#/Thing", "refers outside this document"),
        ("https://evil.example/schema.json", "refers outside this document"),
        ("file:///etc/passwd", "refers outside this document"),
    ] {
        let schema = json!({ "type": "object", "properties": { "a": { "$ref": reference } } });
        let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": body(schema) })));
        assert_eq!(run(&app).inputs["properties"]["a"], json!({}));
        assert!(lines(&report)[0].contains(expected), "{report:#?}");
    }
    let loops = json!({ "$ref": "#/components/requestBodies/A" });
    let mut document = operation("post", "/x", json!({ "requestBody": loops }));
    document["components"] = json!({ "requestBodies": {
        "A": { "$ref": "#/components/requestBodies/B" },
        "B": { "$ref": "#/components/requestBodies/A" },
    } });
    let (app, report) = parse(&document);
    assert!(app.components.is_empty());
    assert!(lines(&report)[0].contains("references in a chain"), "{report:#?}");
}

#[test]
fn what_cannot_be_sent_is_left_out_or_costs_the_operation() {
    for (part, expected) in [
        (parameter("session", "cookie", json!({})), "cookies are not sent"),
        (parameter("Host", "header", json!({})), "callers may not set this header"),
        (parameter("X-HTTP-Method-Override", "header", json!({})), "callers may not set"),
        (parameter("Transfer-Encoding", "header", json!({})), "callers may not set"),
        (parameter("X-Forwarded-For", "header", json!({})), "callers may not set"),
        (json!({ "name": "a", "in": "query", "style": "matrix" }), "this style is not mapped"),
    ] {
        let mut part = part;
        let (app, report) = parse(&operation("get", "/x", json!({ "parameters": [part] })));
        assert_eq!(run(&app).inputs["properties"], json!({}), "{part}");
        assert!(lines(&report)[0].contains(expected), "{report:#?}");
        part["required"] = json!(true);
        let (app, report) = parse(&operation("get", "/x", json!({ "parameters": [part] })));
        assert!(app.components.is_empty(), "{part}");
        assert!(lines(&report)[0].contains("operation left out"), "{report:#?}");
    }
    let upload = json!({ "required": true, "content": { "multipart/form-data": {} } });
    let (app, report) = parse(&operation("post", "/x", json!({ "requestBody": upload })));
    assert!(app.components.is_empty());
    assert!(lines(&report)[0].contains("only JSON and form bodies"));
}

#[test]
fn paths_that_climb_or_lie_are_left_out() {
    for path in [
        "/../admin",
        "/a/./b",
        "/a/{x}",
        "/a?b=c",
        "/a%2e",
        "a",
        "/{",
        "/a\\b",
        "/a#",
        "/a#b#c",
        "/a#b/c",
        "/a#{x}",
        "/a#b?c",
        "/a#b c",
        "/..#b",
        "/a/{x}#b",
        "a#b",
        "#b",
    ] {
        let (app, report) = parse(&operation("get", path, json!({})));
        assert!(app.components.is_empty(), "{path}");
        assert!(!report.is_empty(), "{path}");
    }
}

#[test]
fn operations_that_share_a_path_are_told_apart_by_a_fragment_that_is_not_sent() {
    let operation = |query: &str| {
        let schema = json!({ "type": "object", "required": ["query"], "properties": {
            "query": { "const": query },
            "variables": { "type": "object" },
        } });
        json!({ "requestBody": body(schema), "responses": { "204": { "description": "done" } } })
    };
    let mut named = operation("query { me }");
    named["operationId"] = json!("whoAmI");
    let (app, report) = parse(&document(json!({
        "/graphql#me": { "post": named },
        "/graphql#list_things": { "post": operation("query { things }") },
        "/graphql#create.v2-x": { "post": operation("mutation { create }") },
    })));
    assert!(report.is_empty(), "{report:#?}");
    let ids: Vec<_> = app.components.keys().map(ToString::to_string).collect();
    assert_eq!(
        ids,
        [
            "action.acme.post-graphql-create-v2-x",
            "action.acme.post-graphql-list-things",
            "action.acme.who-am-i",
        ]
    );
    for component in app.components.values() {
        let request = component.request(&app, &base(), &json!({})).expect("a request");
        assert_eq!(request.url.as_str(), "https://api.acme.example/v1/graphql");
    }
}

#[test]
fn security_schemes_say_how_to_connect() {
    let mut document = operation(
        "get",
        "/x",
        json!({
            "parameters": [parameter("X-Api-Key", "header", json!({})), parameter("key", "query", json!({})),
                           parameter("access_token", "query", json!({}))],
            "security": [{ "cookie": [] }, { "oauth": ["write"] }],
        }),
    );
    document["components"] = json!({ "securitySchemes": {
        "a": { "type": "apiKey", "in": "header", "name": "x-api-key" },
        "b": { "type": "apiKey", "in": "query", "name": "key" },
        "c": { "type": "http", "scheme": "Basic" },
        "d": { "type": "http", "scheme": "bearer" },
        "cookie": { "type": "apiKey", "in": "cookie", "name": "session" },
        "digest": { "type": "http", "scheme": "digest" },
        "oauth": { "type": "oauth2", "flows": { "authorizationCode": {
            "authorizationUrl": "https://acme.example/authorize", "tokenUrl": "https://acme.example/token",
            "scopes": { "write": "Write" } } } },
        "implicit": { "type": "oauth2", "flows": { "implicit": {} } },
    } });
    let (app, report) = parse(&document);
    let key = |place, name: &str| AuthScheme::ApiKey { place, name: name.to_owned() };
    assert_eq!(app.security[0], key(KeyPlace::Header, "x-api-key"));
    assert_eq!(app.security[1], key(KeyPlace::Query, "key"));
    assert_eq!(app.security[2..4], [AuthScheme::Basic, AuthScheme::Bearer]);
    assert_eq!(app.security.len(), 5);
    assert_eq!(run(&app).scopes, ["write"]);
    assert_eq!(run(&app).inputs["properties"], json!({}), "credentials are no inputs");
    assert_eq!(lines(&report).len(), 3, "{report:#?}");

    document["paths"]["/x"]["get"]["security"] = json!([{ "cookie": [] }]);
    let (app, report) = parse(&document);
    assert!(app.components.is_empty());
    assert!(lines(&report).iter().any(|line| line.contains("no mapped security scheme")));
    assert!(app.needs_connection());

    document["components"] = json!({});
    document["paths"]["/x"]["get"]["security"] = json!([]);
    let (app, _) = parse(&document);
    assert!(!app.needs_connection());
}

#[test]
fn a_server_variable_chooses_a_tenant_and_never_a_host() {
    let app = |url: &str, variables: Value| {
        let mut document = operation("get", "/x", json!({}));
        document["servers"] = json!([{ "url": url, "variables": variables }]);
        parse(&document)
    };
    let free = json!({ "shop": { "default": "demo" }, "region": { "enum": ["eu", "us"], "default": "eu" } });
    let (ok, report) = app("https://{shop}.acme.example/{region}", free.clone());
    assert!(report.is_empty(), "{report:#?}");
    let filled = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        ok.base_url(&pairs).map(|url| url.to_string())
    };
    assert_eq!(filled(&[]).as_deref(), Ok("https://demo.acme.example/eu"));
    assert_eq!(
        filled(&[("shop", "my-shop"), ("region", "us")]).as_deref(),
        Ok("https://my-shop.acme.example/us")
    );
    for bad in
        ["", "a.b", "evil.example/", "a@b", "-a", "a-", "a:1", "[::1]", "%2e", "é", &"a".repeat(64)]
    {
        let error = filled(&[("shop", bad)]).expect_err(bad);
        assert_eq!(error.to_string(), "server variable shop: must be one DNS label");
    }
    assert!(filled(&[("region", "xx")]).is_err());
    assert!(filled(&[("other", "xx")]).is_err());

    for url in [
        "https://{shop}",
        "https://{shop}.example",
        "https://{shop}:{region}.acme.example",
        "https://x{shop}.com",
        "{shop}://acme.example",
        "https://acme.example:{shop}",
        "https://u@{shop}.acme.example",
        "/relative",
        "ftp://acme.example",
        "https://{gone}.acme.example",
        "https://acme.example?x=1",
        "https://a.acme.example#x",
    ] {
        let (app, report) = app(url, free.clone());
        assert!(app.server.is_none() && !report.is_empty(), "{url}");
        assert!(app.base_url(&std::collections::BTreeMap::new()).is_err());
    }
}

#[test]
fn a_typing_error_in_an_extension_is_told() {
    let mut document = operation("get", "/x", json!({}));
    document["x-keystile-polls"] = json!({});
    document["x-keystile-icon"] = json!("javascript:alert(1)");
    document["x-keystile-signature"] = json!({ "algorithm": "md5" });
    document["x-keystile-limits"] = json!({ "requests": 1 });
    document["x-keystile-poll"] = json!({
        "short": { "operation": "run", "interval": 1, "items": "", "id": "/id" },
        "gone": { "operation": "other", "interval": 60, "items": "", "id": "/id" },
        "flat": { "operation": "run", "interval": 60, "items": "/items", "id": "/id" },
        "wrong": { "operation": "run", "with": { "x": 1 }, "interval": 60, "items": "", "id": "/id" },
    });
    let (app, report) = parse(&document);
    assert_eq!(app.components.len(), 1);
    assert!(app.icon.is_none() && app.signature.is_none());
    assert_eq!(app.limits, ConnectionLimits::default());
    let lines = lines(&report);
    for expected in [
        "/x-keystile-polls: not known here",
        "/x-keystile-icon: an icon is",
        "/x-keystile-signature: unknown variant",
        "/x-keystile-limits: requests and per go together",
        "/x-keystile-poll/short: an interval has 30 to 86400 seconds",
        "/x-keystile-poll/gone: names an operation that is not mapped",
        "/x-keystile-poll/flat: items is no list",
        "/x-keystile-poll/wrong: the operation has no input x",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:#?}");
    }
}

#[test]
fn an_app_says_how_much_one_connection_may_ask() {
    let mut document = operation("get", "/x", json!({}));
    assert_eq!(parse(&document).0.limits, ConnectionLimits::default());
    document["x-keystile-limits"] = json!({ "concurrency": 4, "requests": 180, "per": 60 });
    let (app, report) = parse(&document);
    assert!(report.is_empty(), "{report:#?}");
    let rate = Rate { requests: 180, per: Duration::from_mins(1) };
    assert_eq!(app.limits, ConnectionLimits { concurrency: Some(4), rate: Some(rate) });
}
