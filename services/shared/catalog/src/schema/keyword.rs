//! The vocabulary: what each keyword of a schema holds.

/// How the value of a keyword is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// A plain value.
    Value,
    /// A bound that 3.0 may have written as a flag.
    Bound,
    /// Names of required properties.
    Required,
    /// A regular expression.
    Pattern,
    /// One schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by property name.
    Properties,
    /// Schemas by regular expression.
    PatternProperties,
    /// Says nothing about which values are valid, or is read elsewhere.
    Ignored,
    /// Not in the vocabulary.
    Unknown,
}

impl Keyword {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "type" | "enum" | "const" | "multipleOf" | "maxLength" | "minLength" | "maxItems"
            | "minItems" | "uniqueItems" | "maxProperties" | "minProperties" | "format"
            | "title" | "description" | "default" | "examples" | "deprecated"
            | "contentEncoding" | "contentMediaType" | "dependentRequired" | "minContains"
            | "maxContains" => Self::Value,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => Self::Bound,
            "required" => Self::Required,
            "pattern" => Self::Pattern,
            "items"
            | "additionalProperties"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties" => Self::Schema,
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => Self::Schemas,
            "properties" | "dependentSchemas" => Self::Properties,
            "patternProperties" => Self::PatternProperties,
            // References point into the document, so definitions need no place of their own.
            "$ref" | "$defs" | "definitions" | "$comment" | "nullable" | "example" | "readOnly"
            | "writeOnly" | "xml" | "externalDocs" | "discriminator" | "contentSchema" => {
                Self::Ignored
            }
            other if other.starts_with("x-") => Self::Ignored,
            _ => Self::Unknown,
        }
    }
}
