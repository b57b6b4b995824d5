//! Text to values: YAML or JSON, bounded before anything is built from it.

mod bounded;

use serde::de::DeserializeSeed;
use serde_json::Value;

use self::bounded::{Bounded, Meter};

use crate::{error::Error, limits};

/// The dialect that the document's schemas are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// OpenAPI 3.0: a draft of JSON Schema of its own.
    V30,
    /// OpenAPI 3.1: JSON Schema 2020-12.
    V31,
}

/// A parsed document of a known version.
pub(crate) struct Document {
    pub(crate) root: Value,
    pub(crate) version: Version,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > limits::DOCUMENT_BYTES {
            return Err(Error::TooLarge { what: "bytes", limit: limits::DOCUMENT_BYTES });
        }
        let root: Value =
            if text.trim_start().starts_with('{') { json(text)? } else { yaml(text)? };
        let version = match root.get("openapi").and_then(Value::as_str) {
            Some(version) if version.starts_with("3.0.") => Version::V30,
            Some(version) if version.starts_with("3.1.") => Version::V31,
            Some(_) | None => return Err(Error::Version),
        };
        Ok(Self { root, version })
    }
}

const fn too_deep() -> Error {
    Error::TooLarge { what: "levels of nesting", limit: limits::DOCUMENT_DEPTH }
}

fn json(text: &str) -> Result<Value, Error> {
    let meter = Meter::default();
    let mut from = serde_json::Deserializer::from_str(text);
    Bounded::root(&meter)
        .deserialize(&mut from)
        .and_then(|root| from.end().map(|()| root))
        .map_err(|error| meter.passed().unwrap_or_else(|| Error::Syntax(error.to_string())))
}

/// A few lines of YAML can name gigabytes (aliases of aliases) or take minutes (deep flow
/// collections): the parser bounds what it scans and keeps, the meter what is built.
fn yaml(text: &str) -> Result<Value, Error> {
    use serde_saphyr::{Error as Yaml, budget::BudgetBreach};

    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::DOCUMENT_DEPTH,
            flow_nesting_limit: limits::DOCUMENT_DEPTH,
            // Twice the limits of the meter, which says more when it is passed.
            max_nodes: 2 * limits::DOCUMENT_NODES,
            max_documents: 1,
            max_total_scalar_bytes: 2 * limits::DOCUMENT_BYTES,
            max_recorded_anchor_bytes: limits::DOCUMENT_BYTES,
        },
        // YAML 1.2: `on`, `no` and `yes` are words.
        strict_booleans: true,
    };
    let meter = Meter::default();
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
        Bounded::root(&meter).deserialize(from)
    })
    .map_err(|error| match (meter.passed(), error.without_snippet()) {
        (Some(passed), _) => passed,
        (None, Yaml::Budget { breach: BudgetBreach::Depth { .. }, .. }) => too_deep(),
        (None, other) => Error::Syntax(brief(&other.to_string())),
    })
}

/// The first line of a message, short: parsers quote the text they could not read.
fn brief(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}
