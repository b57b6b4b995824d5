//! `x-keystile-poll`.

use std::time::Duration;

use keystile_domain::ComponentId;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Pointer;

/// How an action is asked again and again for what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The action that is run.
    pub action: ComponentId,
    /// Inputs that are always the same; the trigger's own are added.
    pub with: Map<String, Value>,
    /// From one run to the next.
    pub interval: Duration,
    /// The list, in the action's output.
    pub items: Pointer,
    /// What tells one item from another, in the item.
    pub id: Pointer,
    /// Where to go on.
    pub cursor: Option<Cursor>,
}

/// A value that one answer gives and the next request takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cursor {
    /// What it continues.
    pub kind: CursorKind,
    /// Where the answer gives it.
    pub output: Pointer,
    /// The input that takes it.
    pub input: String,
}

/// What a cursor continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CursorKind {
    /// The same answer: asked for until an item is known.
    Page,
    /// The feed: kept from one run to the next.
    Resume,
}

/// One poll as the document writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Declared {
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) with: Map<String, Value>,
    #[serde(deserialize_with = "interval")]
    pub(crate) interval: Duration,
    pub(crate) items: Pointer,
    pub(crate) id: Pointer,
    pub(crate) cursor: Option<Cursor>,
    /// What it says in words is read as for every component.
    #[serde(rename = "summary")]
    _summary: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "externalDocs")]
    _external_docs: Option<Value>,
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match u64::deserialize(from)? {
        seconds @ 30..=86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(serde::de::Error::custom("an interval has 30 to 86400 seconds")),
    }
}
