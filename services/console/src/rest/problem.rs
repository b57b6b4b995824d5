//! Failures of other services, in the words of this API.

use axum::http::StatusCode;
use keystile_contract::Failure;
use keystile_domain::ErrorKind;
use keystile_runtime::Problem;

/// What anyone is told of an id that is malformed, unknown or another team's: always the same.
pub(super) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "the team has nothing of this id")
}

/// A failure whose bad fields are the members of the request's body that `names` maps them to:
/// `(the field of the message, the member of the body)`, both in snake case, by prefix. A member
/// that begins with `/` is a pointer, and what follows the prefix is one segment of it, in the
/// caller's own words.
pub(super) fn of(mut failure: Failure, names: &[(&str, &str)]) -> Problem {
    if failure.kind == ErrorKind::NotFound {
        return not_found();
    }
    for fault in &mut failure.faults {
        let renamed = names.iter().find_map(|(field, member)| {
            let rest = fault.field.strip_prefix(field)?;
            Some(if member.starts_with('/') {
                // RFC 6901 section 3.
                format!("{member}{}", rest.replace('~', "~0").replace('/', "~1"))
            } else {
                format!("{member}{rest}").trim_matches('.').to_owned()
            })
        });
        if let Some(renamed) = renamed {
            fault.field = renamed;
        }
    }
    // One code for a bad body, whoever found the fault.
    if failure.reason == "invalid_argument" {
        "invalid_request".clone_into(&mut failure.reason);
        "the request has invalid members".clone_into(&mut failure.message);
    }
    failure.into()
}

/// [`of`] for a body that names things: one that is not there is a bad member of the body, by
/// `(the reason, the field of the message)`. Whatever else is missing is what the path names.
pub(super) fn of_body(failure: Failure, names: &[(&str, &str)], named: &[(&str, &str)]) -> Problem {
    match named.iter().find(|(reason, _)| *reason == failure.reason) {
        Some((_, field)) => of(Failure::invalid(*field, failure.message), names),
        None => of(failure, names),
    }
}

/// A failure of a list, whose fields are the parameters of the query.
pub(super) fn of_page(failure: Failure) -> Problem {
    if failure.faults.iter().any(|fault| fault.field == "page_token") {
        return super::page::invalid_cursor();
    }
    match failure.faults.first() {
        Some(fault) => {
            // `name_contains` and `subject_id` are `name` and `subject` here.
            let name = fault.field.split('_').next().unwrap_or_default();
            let detail = format!("{name} {}", fault.message);
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
        }
        None => of(failure, &[]),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, response::IntoResponse};
    use serde_json::{Value, json};

    use super::*;

    async fn document(problem: Problem) -> Value {
        let bytes = to_bytes(problem.into_response().into_body(), 10_000).await.expect("reads");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[tokio::test]
    async fn a_field_of_a_message_is_told_as_the_member_of_the_body() {
        let failure = Failure::invalid("grants[1].allowed_components[0]", "is unknown");
        let told = document(of(failure, &[("grants", "connections")])).await;
        let expected =
            json!([{"pointer": "/connections/1/allowedComponents/0", "detail": "is unknown"}]);
        assert_eq!(told["errors"], expected);
        assert_eq!(told["code"], "invalid_request");
        let failure = Failure::invalid("grant.connection_id", "is of another app");
        let told = document(of(failure, &[("grant", "")])).await;
        assert_eq!(told["errors"][0]["pointer"], "/connectionId");
    }

    #[tokio::test]
    async fn a_member_in_the_callers_words_is_told_in_them() {
        let names = [("credential.fields.", "/credential/fields/")];
        for (label, pointer) in [
            ("api_key", "/credential/fields/api_key"),
            ("DD-API-KEY", "/credential/fields/DD-API-KEY"),
            ("a.b[0].", "/credential/fields/a.b[0]."),
            ("a/b~c", "/credential/fields/a~1b~0c"),
        ] {
            let failure = Failure::invalid(format!("credential.fields.{label}"), "is required");
            let told = document(of(failure, &names)).await;
            assert_eq!(told["errors"][0]["pointer"], pointer);
        }
    }

    #[tokio::test]
    async fn what_the_body_names_and_is_not_there_is_a_bad_member() {
        let named = [("integration_not_found", "credential.integration_id")];
        let missing = |reason: &str| Failure::new(ErrorKind::NotFound, reason, "none such");
        let told = document(of_body(missing("integration_not_found"), &[], &named)).await;
        assert_eq!(
            (&told["status"], &told["code"], &told["errors"][0]["pointer"]),
            (&json!(422), &json!("invalid_request"), &json!("/credential/integrationId"))
        );
        let told = document(of_body(missing("connection_not_found"), &[], &named)).await;
        assert_eq!(told, document(not_found()).await);
    }

    #[tokio::test]
    async fn whatever_is_missing_is_told_the_same_way() {
        let missing = |reason: &str| Failure::new(ErrorKind::NotFound, reason, "no such thing");
        let key = document(of(missing("not_found").with("id", "key_1"), &[])).await;
        let connection = document(of(missing("connection_not_found"), &[])).await;
        assert_eq!(key, connection);
        assert_eq!(key, document(not_found()).await);
    }
}
