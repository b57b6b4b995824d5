//! One HTTP operation of an app: which input goes where in its request.

mod body;
mod inputs;
mod parameter;
mod response;

use http::Method;
use serde_json::Value;

pub(crate) use self::{body::is_json, inputs::Inputs};
use crate::{
    limits,
    reference::Node,
    report::{Line, Report},
    schema::{Direction, Schemas},
    security::Schemes,
    server,
};

/// Where an input travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A segment of the path, or a part of one.
    Path,
    /// The query.
    Query,
    /// A header.
    Header,
    /// A property of the body, or all of it.
    Body,
}

impl Place {
    /// The word that prefixes an input whose name is taken.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// How lists and objects are written (OpenAPI 3.1 section 4.8.12.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `a,b`
    Simple,
    /// `name=a&name=b` exploded, else `name=a,b`
    Form,
    /// `name=a%20b`
    SpaceDelimited,
    /// `name=a|b`
    PipeDelimited,
    /// `name[key]=a`
    DeepObject,
    /// The value as JSON text.
    Json,
}

/// One input and its place in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The input's name.
    pub input: String,
    /// Its name in the request.
    pub name: String,
    /// Where it goes.
    pub place: Place,
    /// How a list or an object is written.
    pub style: Style,
    /// Does each part of a list or an object stand alone?
    pub explode: bool,
}

/// A part of the request that is always the same, such as an API version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// Its name in the request.
    pub name: String,
    /// Where it goes: query, header or body.
    pub place: Place,
    /// Its value: anything in a JSON body; a text, a number or a boolean elsewhere.
    pub value: Value,
}

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
}

/// The body of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// How it is written.
    pub encoding: Encoding,
    /// Is it one input, and not an object made of several?
    pub whole: bool,
    /// Is it sent even when no input is for it?
    pub required: bool,
}

/// An operation, ready to be turned into requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The template of the path, behind the base URL.
    pub path: String,
    /// Where each input goes.
    pub parameters: Vec<Parameter>,
    /// What is always sent.
    pub constants: Vec<Constant>,
    /// The body, if there is one.
    pub body: Option<Body>,
    /// The media type asked for.
    pub accept: String,
}

/// The methods whose operations are components. The rest neither act nor answer with data.
const METHODS: [(&str, Method); 5] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("patch", Method::PATCH),
];

/// An operation of the document and what stands around it.
pub(crate) struct Site<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) method: Method,
    /// The path as the document names it: with the fragment that tells it from others.
    pub(crate) key: &'a str,
    /// The parameters of the whole path.
    shared: Option<Node<'a>>,
}

/// Every operation of one path.
pub(crate) fn sites<'a>(key: &'a str, item: &Node<'a>, report: &mut Report) -> Vec<Site<'a>> {
    let mut sites = Vec::new();
    for (name, node) in item.members() {
        if let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == name) {
            let shared = item.child("parameters");
            sites.push(Site { node, method: method.clone(), key, shared });
        } else if name == "servers" {
            report.add(node.line("servers of a path are not used: its operations are left out"));
            return Vec::new();
        } else if matches!(name, "head" | "options" | "trace") {
            report.add(node.line("only get, put, post, delete and patch become actions"));
        } else if !matches!(name, "parameters" | "summary" | "description" | "$ref")
            && !name.starts_with("x-")
        {
            report.add(node.line("not a part of a path that is known"));
        }
    }
    sites
}

/// What a site becomes.
pub(crate) struct Mapped {
    pub(crate) operation: Operation,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: Value,
}

impl<'a> Site<'a> {
    pub(crate) fn map(
        &self,
        schemas: &mut Schemas<'a>,
        schemes: &Schemes,
        report: &mut Report,
    ) -> Result<Mapped, Line> {
        if let Some(servers) = self.node.child("servers") {
            return Err(servers.line("servers of an operation are not used: left out"));
        }
        if let Some(callbacks) = self.node.child("callbacks") {
            report.add(callbacks.line("callbacks are not mapped"));
        }
        let path = path(self.key).map_err(|problem| self.node.line(problem))?;
        let mut fields = Vec::new();
        let mut constants = Vec::new();
        for node in parameter::all(self.shared.as_ref(), &self.node, schemas.references, report)? {
            match parameter::map(&node, schemas, schemes, report)? {
                parameter::Outcome::Field(field) => fields.push(field),
                parameter::Outcome::Constant(constant) => constants.push(constant),
                parameter::Outcome::Dropped => {}
            }
        }
        self.check_template(path, &fields)?;
        let body::Parts { body, fields: parts, constants: fixed } =
            body::map(&self.node, &self.method, schemas, report)?;
        fields.extend(parts);
        constants.extend(fixed);
        let (parameters, inputs) = inputs::assemble(&self.node, fields)?;
        let answer = response::map(&self.node, schemas, report)?;
        let operation = Operation {
            method: self.method.clone(),
            path: path.to_owned(),
            parameters,
            constants,
            body,
            accept: answer.accept,
        };
        Ok(Mapped { operation, inputs, outputs: answer.schema })
    }

    /// Each variable of the path has its parameter, and each parameter its place.
    fn check_template(&self, path: &str, fields: &[inputs::Field]) -> Result<(), Line> {
        let names = server::names(path).unwrap_or_default();
        let fields = || fields.iter().filter(|field| field.place == Place::Path);
        for name in &names {
            if !fields().any(|field| field.name == **name) {
                return Err(self
                    .node
                    .line(format!("the path's {{{name}}} is no parameter: left out")));
            }
        }
        for field in fields() {
            if !names.contains(&field.name.as_str()) {
                let name = &field.name;
                return Err(self.node.line(format!("the path has no place for {name}: left out")));
            }
        }
        Ok(())
    }
}

/// The path that a key of `paths` stands for. Many things that share one HTTP path, as in GraphQL,
/// are told apart by a fragment, which is never sent: `/graphql#createIssue`.
fn path(key: &str) -> Result<&str, &'static str> {
    if key.len() > limits::NAME_BYTES {
        return Err("the path is too long: left out");
    }
    let path = match key.split_once('#') {
        Some((path, fragment)) if is_fragment(fragment) => path,
        _ => key,
    };
    check_path(path).map(|()| path)
}

/// Letters, digits and the marks that names of operations are made of.
fn is_fragment(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// A path whose literal parts are plain characters and that cannot climb.
fn check_path(path: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/{}".contains(&byte);
    if !path.starts_with('/') || server::names(path).is_none() {
        return Err("the path does not start with a slash or its braces do not match: left out");
    }
    let names = server::names(path).unwrap_or_default();
    let mut literal = path.to_owned();
    for name in names {
        literal = literal.replace(&format!("{{{name}}}"), "x");
    }
    if !literal.bytes().all(plain) {
        return Err("the path has characters that must be escaped: left out");
    }
    if literal.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the path climbs: left out");
    }
    Ok(())
}

/// The schema of a thing that takes no inputs.
pub(crate) fn no_inputs() -> Value {
    serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

/// The one value that the schema allows, if it allows only one.
fn only(schema: &Value) -> Option<&Value> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(value), _) => Some(value),
        (None, Some(options)) if options.len() == 1 => options.first(),
        (None, _) => None,
    }
}

/// A value that can be written without a format.
const fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// A part that cannot be sent costs the operation only if it must be sent.
fn leave_out(
    node: &Node<'_>,
    required: bool,
    problem: &str,
    report: &mut Report,
) -> Result<(), Line> {
    if required {
        return Err(node.line(format!("{problem}, and it is required: operation left out")));
    }
    report.add(node.line(format!("{problem}: left out")));
    Ok(())
}

/// The schema that a media type object carries, translated; anything, if it carries none.
fn media_schema<'a>(
    media: &Node<'a>,
    direction: Direction,
    schemas: &mut Schemas<'a>,
    report: &mut Report,
) -> Result<Value, Line> {
    match media.child("schema") {
        Some(schema) => schemas.translate(&schema, direction, report),
        None => Ok(serde_json::json!({})),
    }
}
