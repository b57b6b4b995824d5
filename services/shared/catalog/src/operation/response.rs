//! What a success answers with.

use serde_json::{Value, json};

use super::{body::is_json, media_schema};
use crate::{
    reference::Node,
    report::{Line, Report},
    schema::{Direction, Schemas},
};

/// The answer of a success.
pub(super) struct Answer {
    pub(super) schema: Value,
    /// The media type to ask for.
    pub(super) accept: String,
}

const JSON: &str = "application/json";

/// The first success of the operation: `200`, `201`, …, then `2XX`, then `default`.
pub(super) fn map<'a>(
    operation: &Node<'a>,
    schemas: &mut Schemas<'a>,
    report: &mut Report,
) -> Result<Answer, Line> {
    let responses = operation.child("responses");
    let success = responses
        .iter()
        .flat_map(Node::members)
        .filter(|(status, _)| {
            *status == "default" || (status.len() == 3 && status.starts_with('2'))
        })
        .min_by_key(|(status, _)| *status);
    let Some((_, node)) = success else {
        report.add(operation.line("no success is described: outputs may be anything"));
        return Ok(Answer { schema: json!({}), accept: JSON.to_owned() });
    };
    let node = schemas.references.resolve(node)?;
    let content = node.child("content");
    let media: Vec<_> = content.iter().flat_map(Node::members).collect();
    if let Some((accept, media)) = media.iter().find(|(media, _)| is_json(media)) {
        let schema = media_schema(media, Direction::Out, schemas, report).unwrap_or_else(|line| {
            report.add(Line {
                problem: format!("{}: outputs may be anything", line.problem),
                ..line
            });
            json!({})
        });
        let visible = accept.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let accept = if visible { (*accept).to_owned() } else { JSON.to_owned() };
        return Ok(Answer { schema, accept });
    }
    let accept = "*/*".to_owned();
    match media.first() {
        None => Ok(Answer { schema: json!({ "type": "null" }), accept }),
        Some((media, _)) if media.starts_with("text/") => {
            Ok(Answer { schema: json!({ "type": "string" }), accept })
        }
        Some((_, media)) => {
            report
                .add(media.line("only JSON and text answers are mapped: outputs may be anything"));
            Ok(Answer { schema: json!({}), accept })
        }
    }
}
