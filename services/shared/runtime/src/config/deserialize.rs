//! Layers as serde sees them: text becomes what the field is, errors know their place.

use std::{collections::btree_map, fmt, slice, str::FromStr};

use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess,
        SeqAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use super::layers::{Node, Origin};
use crate::serde_words::without_value;

/// A field is unknown or has another form. Never repeats the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    field: Option<String>,
    origin: Option<String>,
    message: String,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { field: None, origin: None, message: message.into() }
    }

    /// The innermost place is the one to tell.
    fn at(mut self, field: &str, origin: Option<&Origin>) -> Self {
        if self.field.is_none() && !field.is_empty() {
            self.field = Some(field.to_owned());
            self.origin = origin.map(ToString::to_string);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "`{field}`")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " {origin}")?;
        }
        if self.field.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(without_value(&message.to_string(), "section"))
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::new("is unknown")
    }
}

/// Reads a `T` from the root.
pub(super) fn from<T: DeserializeOwned>(root: &Node) -> Result<T, Error> {
    T::deserialize(At { node: root, path: String::new() })
}

struct At<'n> {
    node: &'n Node,
    path: String,
}

fn joined(path: &str, name: &dyn fmt::Display) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

impl At<'_> {
    /// Text as a number or switch, or the value as it is.
    fn scalar<'de, T: FromStr, V: Visitor<'de>>(
        self,
        expected: &str,
        visitor: V,
        visit: impl FnOnce(V, T) -> Result<V::Value, Error>,
    ) -> Result<V::Value, Error> {
        match self.node {
            Node::Text(text, _) => match text.trim().parse() {
                Ok(value) => visit(visitor, value),
                Err(_) => Err(Error::new(format!("must be {expected}"))),
            },
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! scalars {
    ($($method:ident $visit:ident $type:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.scalar::<$type, V>($expected, visitor, |visitor, value| visitor.$visit(value))
        }
    )*};
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Section(members) => {
                visitor.visit_map(Members { path: &self.path, rest: members.iter(), value: None })
            }
            Node::List(items, _) => {
                visitor.visit_seq(Items { path: &self.path, rest: items.iter(), index: 0 })
            }
            Node::Text(text, _) => visitor.visit_str(text),
            Node::Typed(value, _) => match value {
                toml::Value::String(text) => visitor.visit_str(text),
                toml::Value::Integer(number) => visitor.visit_i64(*number),
                toml::Value::Float(number) => visitor.visit_f64(*number),
                toml::Value::Boolean(switch) => visitor.visit_bool(*switch),
                toml::Value::Datetime(date) => visitor.visit_string(date.to_string()),
                // Became nodes of their own.
                toml::Value::Array(_) | toml::Value::Table(_) => visitor.visit_unit(),
            },
        }
    }

    scalars! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_i8 visit_i8 i8, "i8";
        deserialize_i16 visit_i16 i16, "i16";
        deserialize_i32 visit_i32 i32, "i32";
        deserialize_i64 visit_i64 i64, "i64";
        deserialize_u8 visit_u8 u8, "u8";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, 0 or more";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Text(text, _) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Node::Text(text, origin) = self.node else { return self.deserialize_any(visitor) };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<_> = items.map(|item| Node::Text(item.to_owned(), origin.clone())).collect();
        visitor.visit_seq(Items { path: &self.path, rest: items.iter(), index: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node {
            Node::Section(_) => self.deserialize_any(visitor),
            _ => Err(Error::new("must be a section")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node {
            Node::Text(text, _) | Node::Typed(toml::Value::String(text), _) => {
                let text: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            Node::Section(members) => visitor.visit_enum(MapAccessDeserializer::new(Members {
                path: &self.path,
                rest: members.iter(),
                value: None,
            })),
            Node::List(..) | Node::Typed(..) => Err(Error::new("must be a string")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}

struct Members<'n> {
    path: &'n str,
    rest: btree_map::Iter<'n, String, Node>,
    value: Option<(&'n String, &'n Node)>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((name, node));
        let key: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at(&joined(self.path, name), node.origin()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, node) = self.value.take().ok_or_else(|| Error::new("has no value"))?;
        let path = joined(self.path, name);
        seed.deserialize(At { node, path: path.clone() })
            .map_err(|error| error.at(&path, node.origin()))
    }
}

struct Items<'n> {
    path: &'n str,
    rest: slice::Iter<'n, Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let path = joined(self.path, &self.index);
        self.index += 1;
        seed.deserialize(At { node, path: path.clone() })
            .map(Some)
            .map_err(|error| error.at(&path, node.origin()))
    }
}
