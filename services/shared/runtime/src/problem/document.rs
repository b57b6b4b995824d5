//! How OpenAPI documents describe a problem. Nothing is ever made of these types.

use utoipa::ToSchema;

/// An error, as RFC 9457 has it. Members beyond these depend on the code.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes what `Problem` writes by hand")]
pub struct ProblemDocument {
    /// `about:blank`: the status says what kind of problem this is.
    r#type: String,
    /// The name of the status.
    title: String,
    /// The status.
    status: u16,
    /// The stable code, for programs.
    code: String,
    /// One sentence for a person.
    detail: String,
    /// Finds the request in the log.
    #[schema(rename = "requestId")]
    request_id: String,
    /// The bad members of a request.
    errors: Option<Vec<FaultDocument>>,
}

/// One bad member.
#[derive(ToSchema)]
#[schema(as = Fault)]
#[expect(dead_code, reason = "describes `problem::Fault`")]
pub struct FaultDocument {
    /// Where, as a JSON pointer (RFC 6901) into the body.
    pointer: String,
    /// What is wrong and what would be right. Never repeats the value.
    detail: String,
}
