//! Values as text: path segments, pairs of a query or form, header values.

use keystile_domain::path::climbs;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::operation::{Parameter, Place, Style};

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Characters of one value in a path.
const PATH_CHARS: usize = 1_024;

/// Why a value cannot be written.
pub(crate) type Problem = &'static str;

const SCALAR: Problem = "must be a text, a number or a boolean here";

/// The value with everything escaped that could mean something in a URL.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A text, a number or a boolean as it stands outside JSON.
pub(crate) fn scalar(value: &Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(SCALAR),
    }
}

/// The pieces of a value that is not exploded: items, or keys and values in turn.
fn pieces(value: &Value) -> Result<Vec<String>, Problem> {
    match value {
        Value::Array(items) => items.iter().map(scalar).collect(),
        Value::Object(members) => {
            let mut pieces = Vec::with_capacity(2 * members.len());
            for (key, value) in members {
                pieces.push(key.clone());
                pieces.push(scalar(value)?);
            }
            Ok(pieces)
        }
        value => Ok(vec![scalar(value)?]),
    }
}

/// A value of the path. It stays within its segment, even behind a server that decodes twice.
pub(crate) fn path(value: &Value) -> Result<String, Problem> {
    let pieces = pieces(value)?;
    let whole = pieces.join(",");
    if pieces.is_empty() || pieces.iter().any(String::is_empty) {
        return Err("must not be empty");
    }
    if whole.chars().count() > PATH_CHARS {
        return Err("is too long for a path");
    }
    if whole.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    if pieces.iter().chain([&whole]).any(|piece| climbs(piece)) {
        return Err("must not contain . or .. as a path segment");
    }
    Ok(pieces.iter().map(|piece| escape(piece)).collect::<Vec<_>>().join(","))
}

/// The value of a header, before it is checked for what headers allow.
pub(crate) fn header(value: &Value, explode: bool) -> Result<String, Problem> {
    match value {
        Value::Object(members) if explode => {
            let pair = |(key, value)| scalar(value).map(|text| format!("{key}={text}"));
            Ok(members.iter().map(pair).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        value => Ok(pieces(value)?.join(",")),
    }
}

/// Adds the escaped `name=value` pairs of one input. `taken` says which names may not be made from
/// the keys of an object.
pub(crate) fn pairs(
    parameter: &Parameter,
    value: &Value,
    taken: impl Fn(&str) -> bool,
    out: &mut Vec<String>,
) -> Result<(), Problem> {
    let name = escape(&parameter.name);
    let delimiter = match parameter.style {
        Style::SpaceDelimited => "%20",
        Style::PipeDelimited => "%7C",
        Style::Simple | Style::Form | Style::DeepObject | Style::Json => ",",
    };
    match (parameter.style, value) {
        (_, Value::Null) => {}
        (Style::Json, value) => out.push(format!("{name}={}", escape(&value.to_string()))),
        (Style::DeepObject, value) => deep(&name, value, out)?,
        // A form has no rule for objects but this (OpenAPI 3.1 section 4.8.14.4).
        (_, Value::Object(_)) if parameter.place == Place::Body => {
            out.push(format!("{name}={}", escape(&value.to_string())));
        }
        (_, Value::Array(items)) if parameter.explode => {
            for item in items {
                out.push(format!("{name}={}", escape(&scalar(item)?)));
            }
        }
        (_, Value::Object(members)) if parameter.explode => {
            for (key, value) in members {
                if key.is_empty() || taken(key) {
                    return Err("has a property with a name that is not allowed");
                }
                out.push(format!("{}={}", escape(key), escape(&scalar(value)?)));
            }
        }
        (_, value) => {
            let pieces: Vec<String> = pieces(value)?.iter().map(|piece| escape(piece)).collect();
            out.push(format!("{name}={}", pieces.join(delimiter)));
        }
    }
    Ok(())
}

fn deep(name: &str, value: &Value, out: &mut Vec<String>) -> Result<(), Problem> {
    match value {
        Value::Object(members) => members
            .iter()
            .try_for_each(|(key, value)| deep(&format!("{name}%5B{}%5D", escape(key)), value, out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(place, value)| deep(&format!("{name}%5B{place}%5D"), value, out)),
        Value::Null => Ok(()),
        value => {
            out.push(format!("{name}={}", escape(&scalar(value)?)));
            Ok(())
        }
    }
}
