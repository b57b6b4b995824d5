//! Parameters of the path, the query and the headers.

use serde_json::{Value, json};

use super::{Constant, Place, Style, body::is_json, inputs::Field, is_scalar, leave_out, only};
use crate::{
    headers, limits,
    reference::{Node, References},
    report::{Line, Report},
    schema::{Direction, Schemas},
    security::{KeyPlace, Schemes},
    text,
};

/// What becomes of one parameter.
pub(super) enum Outcome {
    /// An input.
    Field(Field),
    /// It has one possible value.
    Constant(Constant),
    /// Keystile sets it itself, or it is optional and cannot be sent.
    Dropped,
}

/// The parameters of an operation: its own, and those of the path that it does not replace.
pub(super) fn all<'a>(
    shared: Option<&Node<'a>>,
    operation: &Node<'a>,
    references: References<'a>,
    report: &mut Report,
) -> Result<Vec<Node<'a>>, Line> {
    let mut all: Vec<Node<'a>> = Vec::new();
    let own = operation.child("parameters");
    for node in shared.into_iter().chain(own.as_ref()).flat_map(Node::items) {
        let Some(node) = report.keep(references.resolve(node)) else { continue };
        match all.iter_mut().find(|known| same(known, &node)) {
            Some(known) => *known = node,
            None => all.push(node),
        }
        if all.len() > limits::PARAMETERS {
            let problem = format!("more than {} parameters: left out", limits::PARAMETERS);
            return Err(operation.line(problem));
        }
    }
    Ok(all)
}

/// A parameter is known by its name and its place.
fn same(a: &Node<'_>, b: &Node<'_>) -> bool {
    a.text("name") == b.text("name") && a.text("in") == b.text("in")
}

pub(super) fn map<'a>(
    node: &Node<'a>,
    schemas: &mut Schemas<'a>,
    schemes: &Schemes,
    report: &mut Report,
) -> Result<Outcome, Line> {
    let name = node.text("name").unwrap_or_default();
    let required = node.flag("required");
    let dropped = |problem, report: &mut Report| {
        leave_out(node, required, problem, report).map(|()| Outcome::Dropped)
    };
    let place = match node.text("in") {
        _ if name.len() > limits::NAME_BYTES => return dropped("the name is too long", report),
        _ if name.is_empty() => return dropped("a parameter needs a name", report),
        Some("path") => Place::Path,
        Some("query") if schemes.injects(KeyPlace::Query, name) => return Ok(Outcome::Dropped),
        Some("query") => Place::Query,
        Some("header") if schemes.injects(KeyPlace::Header, name) => return Ok(Outcome::Dropped),
        // OpenAPI 3.1 section 4.8.12.1 gives these no effect as parameters.
        Some("header")
            if ["accept", "content-type", "authorization"]
                .contains(&name.to_ascii_lowercase().as_str()) =>
        {
            return Ok(Outcome::Dropped);
        }
        Some("header") if headers::open(name).is_some() => Place::Header,
        Some("header") => return dropped("callers may not set this header", report),
        Some("cookie") => return dropped("cookies are not sent", report),
        Some(_) | None => return dropped("not in path, query or header", report),
    };
    let (style, schema) = match (node.child("content"), node.text("style")) {
        (Some(content), _) => {
            let json = content.members().find(|(media, _)| is_json(media));
            let Some((_, media)) = json else { return dropped("its content is not JSON", report) };
            (Style::Json, media.child("schema"))
        }
        (None, style) => {
            let style = match (place, style) {
                (Place::Path | Place::Header, None | Some("simple")) => Style::Simple,
                (Place::Query, None | Some("form")) => Style::Form,
                (Place::Query, Some("spaceDelimited")) => Style::SpaceDelimited,
                (Place::Query, Some("pipeDelimited")) => Style::PipeDelimited,
                (Place::Query, Some("deepObject")) => Style::DeepObject,
                _ => return dropped("this style is not mapped", report),
            };
            (style, node.child("schema"))
        }
    };
    let explode = match node.value.get("explode").and_then(Value::as_bool) {
        Some(explode) => explode,
        None => style == Style::Form,
    };
    let mut schema = match schema {
        Some(schema) => schemas.translate(&schema, Direction::In, report)?,
        None => json!({}),
    };
    let value = only(&schema).filter(|value| is_scalar(value));
    if let (true, Place::Query | Place::Header, Some(value)) = (required, place, value) {
        let value = value.clone();
        return Ok(Outcome::Constant(Constant { name: name.to_owned(), place, value }));
    }
    if let (Some(text), Some(members)) = (node.text("description"), schema.as_object_mut()) {
        let text = text::description(text);
        schemas.charge(text.len());
        members.insert("description".to_owned(), json!(text));
    }
    let required = required || place == Place::Path;
    Ok(Outcome::Field(Field { name: name.to_owned(), place, style, explode, required, schema }))
}
