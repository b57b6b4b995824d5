//! The request body as inputs: the properties of a plain object each become one, or a constant if
//! they must be there and have one possible value; anything else is the one input `body`.

use http::Method;
use serde_json::{Map, Value};

use super::{
    Body, Constant, Encoding, Place, Style, inputs::Field, is_scalar, leave_out, media_schema, only,
};
use crate::{
    reference::Node,
    report::{Line, Report},
    schema::{Direction, Schemas},
};

/// Is this media type JSON, or a format that is written as JSON (RFC 6839 section 3.1)?
pub(crate) fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

fn is_form(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// What a body is made of.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) body: Option<Body>,
    pub(super) fields: Vec<Field>,
    pub(super) constants: Vec<Constant>,
}

pub(super) fn map<'a>(
    operation: &Node<'a>,
    method: &Method,
    schemas: &mut Schemas<'a>,
    report: &mut Report,
) -> Result<Parts, Line> {
    let Some(node) = operation.child("requestBody") else { return Ok(Parts::default()) };
    let node = schemas.references.resolve(node)?;
    let required = node.flag("required");
    let none = |problem, report: &mut Report| {
        leave_out(&node, required, problem, report).map(|()| Parts::default())
    };
    if method == Method::GET {
        return none("a GET carries no body", report);
    }
    let content = node.child("content");
    let find = |wanted: fn(&str) -> bool| {
        content.iter().flat_map(Node::members).find(|(media, _)| wanted(media))
    };
    let (encoding, media) = match (find(is_json), find(is_form)) {
        (Some((_, media)), _) => (Encoding::Json, media),
        (None, Some((_, media))) => (Encoding::Form, media),
        (None, None) => return none("only JSON and form bodies are mapped", report),
    };
    let schema = media_schema(&media, Direction::In, schemas, report)?;
    let flat = flatten(&schema).filter(|flat| required || flat.required.is_empty());
    let Some(flat) = flat else {
        if encoding == Encoding::Form
            && schema.get("type").and_then(Value::as_str) != Some("object")
        {
            return none("a form needs an object", report);
        }
        let name = "body".to_owned();
        let style = Style::Json;
        let field = Field { name, place: Place::Body, style, explode: true, required, schema };
        let body = Some(Body { encoding, whole: true, required });
        return Ok(Parts { body, fields: vec![field], constants: Vec::new() });
    };
    let encodings = media.child("encoding");
    let body = Some(Body { encoding, whole: false, required });
    let mut parts = Parts { body, ..Parts::default() };
    for (name, schema) in flat.properties {
        let required = flat.required.contains(&name);
        let sendable = |value: &&Value| encoding == Encoding::Json || is_scalar(value);
        if let (true, Some(value)) = (required, only(&schema).filter(sendable)) {
            let value = value.clone();
            parts.constants.push(Constant { name, place: Place::Body, value });
            continue;
        }
        let own = encodings.as_ref().and_then(|all| all.child(&name));
        let deep = own.as_ref().and_then(|own| own.text("style")) == Some("deepObject");
        parts.fields.push(Field {
            required,
            place: Place::Body,
            style: if deep { Style::DeepObject } else { Style::Form },
            explode: own.is_none_or(|own| own.value.get("explode") != Some(&Value::Bool(false))),
            schema,
            name,
        });
    }
    Ok(parts)
}

/// An object that is no more than its properties.
#[derive(Default)]
struct Flat {
    properties: Map<String, Value>,
    required: Vec<String>,
}

fn flatten(schema: &Value) -> Option<Flat> {
    let mut flat = Flat::default();
    collect(schema, &mut flat)?;
    // A name without a property is one that callers do not send.
    flat.required.retain(|name| flat.properties.contains_key(name));
    (!flat.properties.is_empty()).then_some(flat)
}

fn collect(schema: &Value, flat: &mut Flat) -> Option<()> {
    for (keyword, value) in schema.as_object()? {
        match keyword.as_str() {
            "title" | "description" | "examples" | "default" | "deprecated" => {}
            "type" => (value == "object").then_some(())?,
            "additionalProperties" => (*value == Value::Bool(false)).then_some(())?,
            "required" => {
                let names = value.as_array()?.iter().filter_map(Value::as_str);
                flat.required.extend(names.map(str::to_owned));
            }
            "properties" => {
                for (name, property) in value.as_object()? {
                    let known = flat.properties.insert(name.clone(), property.clone());
                    if known.is_some_and(|known| known != *property) {
                        return None;
                    }
                }
            }
            "allOf" => value.as_array()?.iter().try_for_each(|part| collect(part, flat))?,
            _ => return None,
        }
    }
    Some(())
}
