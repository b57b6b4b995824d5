//! Values counted while they are read, so that what repeats (YAML aliases) is never built.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{error::Error, limits};

/// What has been read so far, and which limit was passed.
#[derive(Default)]
pub(super) struct Meter {
    nodes: Cell<usize>,
    bytes: Cell<usize>,
    passed: Cell<Option<Limit>>,
}

/// A limit of the document.
#[derive(Clone, Copy)]
enum Limit {
    Nodes,
    Bytes,
    Depth,
}

impl Meter {
    /// The limit that was passed, if that is why reading failed.
    pub(super) fn passed(&self) -> Option<Error> {
        self.passed.get().map(|limit| match limit {
            Limit::Nodes => Error::TooLarge { what: "values", limit: limits::DOCUMENT_NODES },
            Limit::Bytes => Error::TooLarge { what: "bytes", limit: limits::DOCUMENT_BYTES },
            Limit::Depth => super::too_deep(),
        })
    }

    fn count(&self, bytes: usize, depth: usize) -> Result<(), &'static str> {
        self.nodes.set(self.nodes.get() + 1);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        let limit = if self.nodes.get() > limits::DOCUMENT_NODES {
            Limit::Nodes
        } else if self.bytes.get() > limits::DOCUMENT_BYTES {
            Limit::Bytes
        } else if depth > limits::DOCUMENT_DEPTH {
            Limit::Depth
        } else {
            return Ok(());
        };
        self.passed.set(Some(limit));
        Err("a limit is passed")
    }
}

/// One value, so many levels deep.
#[derive(Clone, Copy)]
pub(super) struct Bounded<'m> {
    meter: &'m Meter,
    depth: usize,
}

impl<'m> Bounded<'m> {
    pub(super) const fn root(meter: &'m Meter) -> Self {
        Self { meter, depth: 0 }
    }

    fn scalar<E: serde::de::Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.meter.count(0, self.depth).map_err(E::custom)?;
        Ok(value.into())
    }

    /// The values inside.
    fn enter<E: serde::de::Error>(self) -> Result<Self, E> {
        let inside = Self { depth: self.depth + 1, ..self };
        inside.meter.count(0, inside.depth).map_err(E::custom)?;
        Ok(inside)
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number of JSON"))?;
        self.scalar(number)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.meter.count(value.len(), self.depth).map_err(E::custom)?;
        Ok(Value::from(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inside = self.enter()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inside = self.enter()?;
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            self.meter.count(name.len(), self.depth).map_err(A::Error::custom)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom("a key is repeated"));
            }
            members.insert(name, from.next_value_seed(inside)?);
        }
        Ok(Value::Object(members))
    }
}
