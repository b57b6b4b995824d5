//! The OpenAPI document: what does not come from a handler.

use std::collections::BTreeMap;

use keystile_runtime::problem::document::{FaultDocument, ProblemDocument};
use utoipa::{
    IntoResponses, OpenApi,
    openapi::{
        Content, Ref, RefOr, Response, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keystile management API",
        description = "Manage a team's keys, connections and OAuth clients with a management \
                       token, `ksm_…`. \
                       Every error is an `application/problem+json` document with a stable `code`. \
                       An id that is malformed, unknown or another team's is 404 `not_found`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemDocument, FaultDocument)),
    tags(
        (name = "keys", description = "Keys, their grants, and the cuts that stop them."),
        (name = "apps", description = "What a grant can name."),
        (name = "connections", description = "Linked accounts. No answer carries a credential."),
        (name = "integrations", description = "A team's own OAuth clients, and the way of a \
            person's browser to a connected account. No answer carries a client secret."),
        (name = "tokens", description = "Management tokens."),
        (name = "team", description = "The team, and its trail."),
        (name = "operator", description = "For whoever runs the installation.")
    )
)]
struct Document;

/// The document before any handler adds to it.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let components = document.components.get_or_insert_default();
    let bearer = |format| {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
        SecurityScheme::Http(bearer.build())
    };
    components.add_security_scheme("management", bearer("ksm_…"));
    components.add_security_scheme("operator", bearer("the operator token"));
    let none = [""; 0];
    document.security = Some(vec![SecurityRequirement::new("management", none)]);
    document
}

/// The problems of every route.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let told = [
            (
                "400",
                "`invalid_json`, `invalid_query`, `invalid_cursor`, `duplicate_header`, \
                 `invalid_idempotency_key`, `idempotency_not_supported`",
            ),
            (
                "401",
                "`token_required`, `invalid_token`, `key_not_accepted`, `token_revoked`, \
                 `token_expired`, `token_creator_left`, `operator_token_required`",
            ),
            ("403", "`permission_denied`, `role_too_high`, `plan_required`"),
            ("404", "`not_found`: malformed, unknown, or another team's"),
            (
                "409",
                "`key_revoked`, `rotation_in_progress`, `no_overlap`, `operation_repeated`, \
                 `operation_reused`, `connection_unusable`, `integration_not_configured`, \
                 `integration_in_use`, `integration_changed`",
            ),
            ("422", "`invalid_request`, with the JSON pointer of each bad member"),
            ("429", "`key_limit_reached`"),
            (
                "502",
                "`provider_error`, `upstream_unreachable`, `address_refused`: the outside app or \
                 its provider did not do its part",
            ),
            ("503", "`unavailable`: a service is down; retry"),
            ("504", "`timeout`: the outcome is unknown; `operationId` names the change"),
        ];
        let described = told.into_iter().map(|(status, description)| {
            let schema = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", schema);
            (status.to_owned(), RefOr::T(response.build()))
        });
        described.collect()
    }
}
