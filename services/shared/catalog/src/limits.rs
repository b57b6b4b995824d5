//! How large a document may be. A team uploads documents, so every cost they cause is bounded here.

/// Bytes of the text.
pub const DOCUMENT_BYTES: usize = 4 << 20;

/// Values in the document: mappings, sequences and scalars, after YAML aliases.
pub const DOCUMENT_NODES: usize = 250_000;

/// Nesting of the document.
pub const DOCUMENT_DEPTH: usize = 64;

/// Operations, webhooks and polls together.
pub const COMPONENTS: usize = 500;

/// Parameters of one operation.
pub const PARAMETERS: usize = 200;

/// Bytes of a path, a parameter's name, a scope, the template of a server, or the value of a
/// parameter that a document adds to an authorization request.
pub const NAME_BYTES: usize = 500;

/// Scopes that one operation asks for.
pub const SCOPES: usize = 50;

/// API keys that make one connection together.
pub const FIELDS: usize = 10;

/// Different sets of API keys that the operations of a document want together.
pub const COMBINATIONS: usize = 10;

/// Scopes that one grant of a security scheme declares.
pub const DECLARED_SCOPES: usize = 1_000;

/// Bytes of an address of an authorization server.
pub const ADDRESS_BYTES: usize = 2_000;

/// Parameters that a document adds to every authorization request.
pub const AUTHORIZE_PARAMETERS: usize = 16;

/// Nesting of one schema; what lies deeper accepts anything.
pub const SCHEMA_DEPTH: usize = 32;

/// References inside references, in a chain or nested in schemas.
pub const REFERENCE_DEPTH: usize = 24;

/// Bytes of one schema once its references are written out. As nothing in it refers to anything,
/// checking a value costs at most this times the value's size.
pub const SCHEMA_BYTES: usize = 256 << 10;

/// Bytes of all schemas of an app.
pub const APP_SCHEMA_BYTES: usize = 8 << 20;

/// Characters of a regular expression.
pub const PATTERN_CHARS: usize = 1_000;

/// Bytes of a compiled regular expression.
pub const PATTERN_BYTES: usize = 64 << 10;

/// Bytes of an icon.
pub const ICON_BYTES: usize = 32 << 10;

/// Lines that a report keeps; the rest is counted.
pub const REPORT_LINES: usize = 200;

/// Faults that one check of inputs names.
pub const FAULTS: usize = 32;
