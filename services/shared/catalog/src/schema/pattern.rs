//! Regular expressions of a document: only those that the linear engine runs, and small ones.

use serde_json::json;

use crate::{limits, validate};

/// What one pattern counts for among the bytes of a schema.
pub(super) const COST_BYTES: usize = 4 << 10;

/// Why the expression cannot be used.
pub(super) fn fault(pattern: &str) -> Option<&'static str> {
    if pattern.chars().count() > limits::PATTERN_CHARS {
        return Some("the pattern is too long");
    }
    let compiles = validate::compile(&json!({ "pattern": pattern })).is_ok();
    (!compiles).then_some("the pattern does not run in linear time or is too large")
}
