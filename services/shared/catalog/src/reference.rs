//! Places in a document, and the `$ref`s between them.

use serde_json::Value;

use crate::{limits, report::Line};

/// A value of the document that knows where it stands.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    pub(crate) value: &'a Value,
    pub(crate) pointer: String,
}

/// One more token behind a JSON pointer (RFC 6901).
pub(crate) fn join(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(crate) const fn root(value: &'a Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// The member of this name, if this is an object that has one.
    pub(crate) fn child(&self, name: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(name)?;
        Some(Self { value, pointer: join(&self.pointer, name) })
    }

    /// The members of an object, else nothing.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let pointer = self.pointer.clone();
        self.value.as_object().into_iter().flatten().map(move |(name, value)| {
            (name.as_str(), Self { value, pointer: join(&pointer, name) })
        })
    }

    /// The items of an array, else nothing.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let pointer = self.pointer.clone();
        self.value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(place, value)| Self { value, pointer: format!("{pointer}/{place}") })
    }

    /// The text of a member.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.value.as_object()?.get(name)?.as_str()
    }

    /// Is the member `true`?
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value.as_object().and_then(|members| members.get(name)) == Some(&Value::Bool(true))
    }

    /// A line of the report about this place.
    pub(crate) fn line(&self, problem: impl Into<String>) -> Line {
        Line::new(self.pointer.clone(), problem)
    }
}

/// Follows references; only inside the document.
#[derive(Clone, Copy)]
pub(crate) struct References<'a> {
    pub(crate) root: &'a Value,
}

impl<'a> References<'a> {
    /// What `node`, or the reference that it is, stands for.
    pub(crate) fn resolve(self, node: Node<'a>) -> Result<Node<'a>, Line> {
        let start = node.pointer.clone();
        let mut at = node;
        for _ in 0..=limits::REFERENCE_DEPTH {
            let Some(reference) = at.text("$ref") else { return Ok(at) };
            at = self.target(&at, reference)?;
            if at.pointer == start {
                return Err(at.line("the reference leads back to itself"));
            }
        }
        let problem = format!("more than {} references in a chain", limits::REFERENCE_DEPTH);
        Err(Line::new(start, problem))
    }

    /// The place that one `reference`, written at `node`, names.
    pub(crate) fn target(self, node: &Node<'a>, reference: &str) -> Result<Node<'a>, Line> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err(node.line("refers outside this document"));
        };
        let pointer = percent_encoding::percent_decode_str(fragment)
            .decode_utf8()
            .map_err(|_| node.line("the reference is not UTF-8"))?;
        match self.root.pointer(&pointer) {
            Some(value) => Ok(Node { value, pointer: pointer.into_owned() }),
            None => Err(node.line("refers to something that does not exist")),
        }
    }
}
