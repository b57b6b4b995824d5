//! Path, query, header and body as one object of inputs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Parameter, Place, Style, no_inputs};
use crate::{reference::Node, report::Line};

/// A part of the request that an input fills.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) style: Style,
    pub(crate) explode: bool,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

/// What a caller gives.
pub(crate) struct Inputs {
    /// A JSON Schema of an object.
    pub(crate) schema: Value,
    /// The names that must be there.
    pub(crate) required: Vec<String>,
}

/// Names the inputs: as in the request, and prefixed by the place where two share a name.
pub(super) fn assemble(
    operation: &Node<'_>,
    fields: Vec<Field>,
) -> Result<(Vec<Parameter>, Inputs), Line> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for field in &fields {
        *uses.entry(field.name.clone()).or_default() += 1;
    }
    let mut properties = Map::new();
    let mut required = BTreeSet::new();
    let mut parameters = Vec::with_capacity(fields.len());
    for field in fields {
        let input = match uses.get(&field.name) {
            Some(1) => field.name.clone(),
            _ => format!("{}_{}", field.place.as_str(), field.name),
        };
        if properties.insert(input.clone(), field.schema).is_some() {
            return Err(operation.line(format!("two inputs are called {input}: left out")));
        }
        if field.required {
            required.insert(input.clone());
        }
        parameters.push(Parameter {
            input,
            name: field.name,
            place: field.place,
            style: field.style,
            explode: field.explode,
        });
    }
    let required: Vec<String> = required.into_iter().collect();
    let mut schema = no_inputs();
    schema["properties"] = Value::Object(properties);
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    Ok((parameters, Inputs { schema, required }))
}
