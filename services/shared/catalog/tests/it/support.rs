//! Small documents for the tests.
#![allow(clippy::needless_pass_by_value, reason = "callers pass what json! makes")]

use keystile_catalog::{App, Component, Error, Report};
use serde_json::{Value, json};
use url::Url;

pub(crate) fn parse(document: &Value) -> (App, Report) {
    App::parse("acme".parse().expect("a key"), &document.to_string()).expect("a document")
}

pub(crate) fn refuse(text: &str) -> Error {
    App::parse("acme".parse().expect("a key"), text).expect_err("no document")
}

/// A 3.1 document with these paths.
pub(crate) fn document(paths: Value) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Acme", "version": "1" },
        "servers": [{ "url": "https://api.acme.example/v1" }],
        "paths": paths,
    })
}

/// A document with one operation, `run`, of these parts.
pub(crate) fn operation(method: &str, path: &str, mut parts: Value) -> Value {
    parts["operationId"] = json!("run");
    parts["responses"] = json!({ "204": { "description": "done" } });
    document(json!({ path: { method: parts } }))
}

/// A parameter.
pub(crate) fn parameter(name: &str, place: &str, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": place == "path", "schema": schema })
}

/// A JSON body that must be there.
pub(crate) fn body(schema: Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// The one action of a document made by [`operation`].
pub(crate) fn run(app: &App) -> &Component {
    app.components.get(&"action.acme.run".parse().expect("an id")).expect("the action")
}

pub(crate) fn base() -> Url {
    Url::parse("https://api.acme.example/v1").expect("a url")
}

/// Every line of a report as text.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    report.lines().iter().map(ToString::to_string).collect()
}
