//! Schemas of a document, of either dialect, as plain JSON Schema 2020-12 with nothing to look up.
//!
//! References are written out in place. A schema that contains itself is followed once; where it
//! comes round again it accepts anything, and the report says so. What results is a finite tree,
//! so that checking a value never costs more than the tree times the value, whoever wrote it.

mod keyword;
mod pattern;

use serde_json::{Map, Value, json};

use self::keyword::Keyword;
use crate::{
    document::Version,
    limits,
    reference::{Node, References},
    report::{Line, Report},
};

/// Which way a value travels: callers do not send what is `readOnly` and do not get what is
/// `writeOnly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Translates the schemas of one document and counts what they cost together.
pub(crate) struct Schemas<'a> {
    pub(crate) references: References<'a>,
    version: Version,
    bytes: usize,
}

impl<'a> Schemas<'a> {
    pub(crate) const fn new(references: References<'a>, version: Version) -> Self {
        Self { references, version, bytes: 0 }
    }

    /// Counts what is kept beside the schemas.
    pub(crate) const fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Is all used that an app may use?
    pub(crate) const fn full(&self) -> bool {
        self.bytes > limits::APP_SCHEMA_BYTES
    }

    /// The schema at `node`. Parts that cannot be mapped accept anything and are reported.
    ///
    /// # Errors
    /// A line, if the whole is larger than [`limits::SCHEMA_BYTES`], or all of them together than
    /// [`limits::APP_SCHEMA_BYTES`].
    pub(crate) fn translate(
        &mut self,
        node: &Node<'a>,
        direction: Direction,
        report: &mut Report,
    ) -> Result<Value, Line> {
        if self.full() {
            return Err(node.line("the app's schemas are too large together"));
        }
        let mut walk = Walk {
            references: self.references,
            version: self.version,
            direction,
            report,
            bytes: 0,
            open: Vec::new(),
        };
        let schema = walk.schema(node, 0);
        self.bytes += walk.bytes;
        schema
    }
}

/// One schema on its way.
struct Walk<'w, 'a> {
    references: References<'a>,
    version: Version,
    direction: Direction,
    report: &'w mut Report,
    bytes: usize,
    /// The references that are being written out, outermost first.
    open: Vec<String>,
}

/// Bytes that a schema costs besides its text.
const NODE_BYTES: usize = 32;

/// What may stand beside a `$ref` without narrowing it.
const ANNOTATIONS: [&str; 6] =
    ["title", "description", "default", "example", "examples", "deprecated"];

fn anything() -> Value {
    json!({})
}

impl<'a> Walk<'_, 'a> {
    fn charge(&mut self, node: &Node<'_>, bytes: usize) -> Result<(), Line> {
        self.bytes += bytes;
        if self.bytes > limits::SCHEMA_BYTES {
            return Err(node.line(format!(
                "the schema has more than {} bytes once its references are written out",
                limits::SCHEMA_BYTES
            )));
        }
        Ok(())
    }

    fn schema(&mut self, node: &Node<'a>, depth: usize) -> Result<Value, Line> {
        self.charge(node, NODE_BYTES)?;
        if depth > limits::SCHEMA_DEPTH {
            self.report.add(
                node.line(format!(
                    "more than {} levels deep: accepts anything",
                    limits::SCHEMA_DEPTH
                )),
            );
            return Ok(anything());
        }
        if node.value.is_boolean() {
            return Ok(node.value.clone());
        }
        if !node.value.is_object() {
            self.report.add(node.line("not a schema: accepts anything"));
            return Ok(anything());
        }
        match node.text("$ref") {
            Some(reference) => self.reference(node, reference, depth),
            None => self.keywords(node, depth),
        }
    }

    fn reference(&mut self, node: &Node<'a>, reference: &str, depth: usize) -> Result<Value, Line> {
        let target = match self.references.target(node, reference) {
            Ok(target) => target,
            Err(line) => {
                self.report
                    .add(Line { problem: format!("{}: accepts anything", line.problem), ..line });
                return Ok(anything());
            }
        };
        if self.open.contains(&target.pointer) {
            self.report
                .add(node.line("refers to a schema that contains it: accepts anything here"));
            return Ok(anything());
        }
        if self.open.len() >= limits::REFERENCE_DEPTH {
            self.report.add(node.line(format!(
                "more than {} references inside each other: accepts anything",
                limits::REFERENCE_DEPTH
            )));
            return Ok(anything());
        }
        self.open.push(target.pointer.clone());
        let schema = self.schema(&target, depth);
        self.open.pop();
        let schema = schema?;
        // 3.0 ignores what stands beside a reference.
        if self.version == Version::V30 || node.value.as_object().is_none_or(|all| all.len() == 1) {
            return Ok(schema);
        }
        let Value::Object(beside) = self.keywords(node, depth)? else { return Ok(schema) };
        Ok(match schema {
            Value::Object(mut schema)
                if beside.keys().all(|name| ANNOTATIONS.contains(&name.as_str())) =>
            {
                schema.extend(beside);
                Value::Object(schema)
            }
            schema => {
                let mut beside = beside;
                match beside.entry("allOf").or_insert_with(|| json!([])) {
                    Value::Array(all) => all.push(schema),
                    other => *other = json!([schema]),
                }
                Value::Object(beside)
            }
        })
    }

    fn keywords(&mut self, node: &Node<'a>, depth: usize) -> Result<Value, Line> {
        let mut out = Map::new();
        for (name, member) in node.members() {
            let value = match Keyword::of(name) {
                Keyword::Value => {
                    self.charge(&member, name.len() + text_bytes(member.value))?;
                    member.value.clone()
                }
                Keyword::Bound => match self.bound(node, name, &member) {
                    Some(value) => value,
                    None => continue,
                },
                Keyword::Required => self.required(node, &member),
                Keyword::Pattern => match self.pattern(&member)? {
                    Some(value) => value,
                    None => continue,
                },
                Keyword::Schema => self.schema(&member, depth + 1)?,
                Keyword::Schemas => Value::Array(
                    member
                        .items()
                        .map(|item| self.schema(&item, depth + 1))
                        .collect::<Result<_, _>>()?,
                ),
                Keyword::Properties => self.properties(&member, depth)?,
                Keyword::PatternProperties => self.pattern_properties(&member, depth)?,
                Keyword::Ignored => continue,
                Keyword::Unknown => {
                    self.report.add(member.line("this keyword is not mapped"));
                    continue;
                }
            };
            out.insert(name.to_owned(), value);
        }
        if let (Some(example), false) = (node.value.get("example"), out.contains_key("examples")) {
            self.charge(node, text_bytes(example))?;
            out.insert("examples".to_owned(), json!([example]));
        }
        if self.version == Version::V30 {
            return Ok(modernise(node, out));
        }
        Ok(Value::Object(out))
    }

    /// `exclusiveMinimum: true` beside `minimum` is 3.0's way of writing a number.
    fn bound(&mut self, node: &Node<'a>, name: &str, member: &Node<'a>) -> Option<Value> {
        if self.version == Version::V31 {
            return Some(member.value.clone());
        }
        let (flag, limit) = match name {
            "minimum" | "exclusiveMinimum" => ("exclusiveMinimum", "minimum"),
            _ => ("exclusiveMaximum", "maximum"),
        };
        if name == limit {
            return (!node.flag(flag)).then(|| member.value.clone());
        }
        match member.value {
            Value::Bool(exclusive) => exclusive.then(|| node.value.get(limit).cloned())?,
            _ => Some(member.value.clone()),
        }
    }

    fn hidden(&self, property: &Node<'a>) -> bool {
        let flag = match self.direction {
            Direction::In => "readOnly",
            Direction::Out => "writeOnly",
        };
        property.flag(flag)
            || self.references.resolve(property.clone()).is_ok_and(|target| target.flag(flag))
    }

    fn required(&self, node: &Node<'a>, member: &Node<'a>) -> Value {
        let properties = node.child("properties");
        let hidden = |name: &Value| {
            properties
                .as_ref()
                .and_then(|all| all.child(name.as_str()?))
                .is_some_and(|property| self.hidden(&property))
        };
        match member.value {
            Value::Array(names) => names.iter().filter(|name| !hidden(name)).cloned().collect(),
            other => other.clone(),
        }
    }

    fn properties(&mut self, member: &Node<'a>, depth: usize) -> Result<Value, Line> {
        let mut out = Map::new();
        for (name, property) in member.members() {
            if !self.hidden(&property) {
                self.charge(&property, name.len())?;
                out.insert(name.to_owned(), self.schema(&property, depth + 1)?);
            }
        }
        Ok(Value::Object(out))
    }

    fn pattern(&mut self, member: &Node<'a>) -> Result<Option<Value>, Line> {
        let fault = member.value.as_str().map_or(Some("not a pattern"), pattern::fault);
        if let Some(fault) = fault {
            self.report.add(member.line(format!("{fault}: not checked")));
            return Ok(None);
        }
        self.charge(member, pattern::COST_BYTES)?;
        Ok(Some(member.value.clone()))
    }

    fn pattern_properties(&mut self, member: &Node<'a>, depth: usize) -> Result<Value, Line> {
        let mut out = Map::new();
        for (name, property) in member.members() {
            if let Some(fault) = pattern::fault(name) {
                self.report.add(property.line(format!("{fault}: not checked")));
                continue;
            }
            self.charge(&property, pattern::COST_BYTES)?;
            out.insert(name.to_owned(), self.schema(&property, depth + 1)?);
        }
        Ok(Value::Object(out))
    }
}

fn text_bytes(value: &Value) -> usize {
    8 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + text_bytes(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What is left of the dialect of 3.0: `nullable` and the formats that became encodings.
fn modernise(node: &Node<'_>, mut out: Map<String, Value>) -> Value {
    if out.get("format").and_then(Value::as_str) == Some("byte") {
        out.remove("format");
        out.insert("contentEncoding".to_owned(), json!("base64"));
    }
    if !node.flag("nullable") {
        return Value::Object(out);
    }
    if let Some(Value::String(kind)) = out.get("type") {
        let kinds = json!([kind, "null"]);
        out.insert("type".to_owned(), kinds);
        if let Some(Value::Array(options)) = out.get_mut("enum")
            && !options.contains(&Value::Null)
        {
            options.push(Value::Null);
        }
        return Value::Object(out);
    }
    // Without a type, as beside `allOf`, only an alternative admits null.
    let mut around = Map::new();
    for name in ANNOTATIONS {
        if let Some(value) = out.remove(name) {
            around.insert(name.to_owned(), value);
        }
    }
    around.insert("anyOf".to_owned(), json!([out, { "type": "null" }]));
    Value::Object(around)
}
