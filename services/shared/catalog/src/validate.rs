//! Inputs against their schema, with a pointer to each fault and never the value.

use std::sync::Arc;

use jsonschema::{
    Draft, PatternOptions, Validator,
    error::{TypeKind, ValidationError, ValidationErrorKind as Kind},
};
use serde::Serialize;
use serde_json::Value;

use crate::{limits, reference::join};

/// One thing that is wrong with the inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// RFC 6901 pointer to the bad input; to the missing one, if one is missing.
    pub pointer: String,
    /// What the schema wants, without the value that was given.
    pub message: String,
}

/// A compiled schema. Clones share it.
#[derive(Clone)]
pub(crate) struct Check(Arc<Validator>);

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Check")
    }
}

/// Compiles `schema`: no file and no network is ever read, and patterns run in linear time.
///
/// # Errors
/// What is wrong with the schema.
pub(crate) fn compile(schema: &Value) -> Result<Check, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(limits::PATTERN_BYTES)
                .dfa_size_limit(limits::PATTERN_BYTES),
        )
        .build(schema)
        .map(|validator| Check(Arc::new(validator)))
        .map_err(|error| match error.instance_path().as_str() {
            "" => error.kind().keyword().to_owned(),
            place => format!("{} at {place}", error.kind().keyword()),
        })
}

impl Check {
    /// Every fault of `inputs`, [`limits::FAULTS`] at most.
    pub(crate) fn run(&self, inputs: &Value) -> Result<(), Vec<Fault>> {
        let mut faults: Vec<Fault> = self
            .0
            .iter_errors(inputs)
            .flat_map(|error| faults(&error))
            .take(limits::FAULTS)
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        faults.dedup();
        Err(faults)
    }
}

fn faults(error: &ValidationError<'_>) -> Vec<Fault> {
    let at = error.instance_path().as_str();
    let fault = |pointer: String, message: &str| Fault { pointer, message: message.to_owned() };
    match error.kind() {
        Kind::Required { property } => {
            vec![fault(join(at, property.as_str().unwrap_or_default()), "is required")]
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected
                .iter()
                .take(limits::FAULTS)
                .map(|name| fault(join(at, name), "is not an input"))
                .collect()
        }
        kind => vec![Fault { pointer: at.to_owned(), message: message(kind) }],
    }
}

/// What is wanted. Limits and options come from the schema, so they may be told.
fn message(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind: TypeKind::Single(kind) } => format!("must be of type {kind}"),
        Kind::Type { kind: TypeKind::Multiple(kinds) } => {
            let kinds: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
            format!("must be of type {}", kinds.join(" or "))
        }
        Kind::Enum { options } => {
            let text = options.to_string();
            if text.len() > 200 {
                "must be one of the listed values".to_owned()
            } else {
                format!("must be one of {text}")
            }
        }
        Kind::Constant { .. } => "must be the one allowed value".to_owned(),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::UniqueItems => "must not repeat an item".to_owned(),
        Kind::Contains => "must contain an item of the wanted shape".to_owned(),
        Kind::Pattern { .. } => "must match the pattern of its schema".to_owned(),
        Kind::Format { format } => format!("must be in the format {format}"),
        Kind::PropertyNames { .. } => "has a property with a name that is not allowed".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "must match one of the alternatives".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => "must match only one of the alternatives".to_owned(),
        Kind::Not { .. } | Kind::FalseSchema => "is not allowed".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("must be {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => format!("must be {content_media_type}"),
        Kind::UnevaluatedItems { .. } => "has items that are not allowed".to_owned(),
        Kind::Required { .. }
        | Kind::AdditionalProperties { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Custom { .. }
        | Kind::FromUtf8 { .. }
        | Kind::Referencing(_) => "does not match its schema".to_owned(),
    }
}
