//! Every code that the gateway answers with, in one table: the problem documents and the OpenAPI
//! document are both made from it, so none is answered that is not documented.

use std::borrow::Cow;

use http::StatusCode;
use keystile_domain::{Refusal, verdict::RefusalClass};
use keystile_runtime::Problem;

/// One stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The status it comes with.
    pub status: StatusCode,
    /// The stable text.
    pub code: &'static str,
    /// What it means and what helps, for a person.
    pub meaning: &'static str,
}

const fn code(status: StatusCode, code: &'static str, meaning: &'static str) -> Code {
    Code { status, code, meaning }
}

impl Code {
    /// A problem document of this code with its standing sentence.
    pub(crate) fn problem(self) -> Problem {
        self.because(self.meaning)
    }

    /// The same with a sentence about this very request. It must repeat nothing that was sent.
    pub(crate) fn because(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(self.status, self.code, detail)
    }
}

// The credentials of a request.
pub(crate) const KEY_REQUIRED: Code = code(
    StatusCode::UNAUTHORIZED,
    "key_required",
    "send a key as \"Authorization: Bearer …\" or as \"X-API-Key\"",
);
pub(crate) const UNSUPPORTED_SCHEME: Code =
    code(StatusCode::UNAUTHORIZED, "unsupported_scheme", "the scheme of Authorization is Bearer");
pub(crate) const MANAGEMENT_TOKEN: Code = code(
    StatusCode::UNAUTHORIZED,
    "management_token",
    "a management token opens the management API only; send a key",
);
pub(crate) const PUBLIC_KEY: Code = code(
    StatusCode::UNAUTHORIZED,
    "public_key",
    "a public key opens the connect flow only; send the key itself",
);
pub(crate) const AMBIGUOUS_CREDENTIALS: Code = code(
    StatusCode::BAD_REQUEST,
    "ambiguous_credentials",
    "send exactly one of Authorization and X-API-Key, once",
);
pub(crate) const MALFORMED_CREDENTIALS: Code = code(
    StatusCode::BAD_REQUEST,
    "malformed_credentials",
    "a key is one word of visible ASCII characters",
);

// The request.
pub(crate) const INVALID_QUERY: Code = code(
    StatusCode::BAD_REQUEST,
    "invalid_query",
    "a query parameter is unknown, repeated or malformed",
);
pub(crate) const UNKNOWN_COMPONENT: Code =
    code(StatusCode::NOT_FOUND, "unknown_component", "there is no such component");
pub(crate) const NOT_RUNNABLE: Code =
    code(StatusCode::CONFLICT, "not_runnable", "only actions run; this component is a trigger");
pub(crate) const INVALID_IDEMPOTENCY_KEY: Code = code(
    StatusCode::BAD_REQUEST,
    "invalid_idempotency_key",
    "Idempotency-Key must be one string of 1 to 255 visible ASCII characters",
);
pub(crate) const IDEMPOTENCY_KEY_REUSED: Code = code(
    StatusCode::UNPROCESSABLE_ENTITY,
    "idempotency_key_reused",
    "this Idempotency-Key was used for another request; nothing was run",
);
pub(crate) const INVALID_INPUTS: Code = code(
    StatusCode::UNPROCESSABLE_ENTITY,
    "invalid_inputs",
    "the inputs do not match the component's schema; errors points to each fault",
);

// A request that was made before.
pub(crate) const IDEMPOTENCY_IN_PROGRESS: Code = code(
    StatusCode::CONFLICT,
    "idempotency_in_progress",
    "a request with this Idempotency-Key is under way; repeat this one for its answer",
);
pub(crate) const OUTCOME_UNKNOWN: Code = code(
    StatusCode::CONFLICT,
    "outcome_unknown",
    "an earlier request with this Idempotency-Key may have happened, or not; it is not run again: \
     look at the app",
);
pub(crate) const RESPONSE_NOT_KEPT: Code = code(
    StatusCode::CONFLICT,
    "response_not_kept",
    "the request with this Idempotency-Key was done, and its answer was too large to keep; \
     upstreamStatus holds its status",
);

// What `runtime::http` answers before a handler sees a request, or in its place.
pub(crate) const NOT_FOUND: Code =
    code(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path");
const EDGE: [Code; 7] = [
    code(StatusCode::BAD_REQUEST, "host_required", "an HTTP/1.1 request needs one Host"),
    code(
        StatusCode::BAD_REQUEST,
        "duplicate_header",
        "a header field that may occur once is repeated",
    ),
    code(
        StatusCode::BAD_REQUEST,
        "invalid_connection_header",
        "Connection may not name a field that is meant for the gateway",
    ),
    code(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "the body is larger than this server accepts",
    ),
    code(StatusCode::URI_TOO_LONG, "uri_too_long", "the path and query are too long"),
    code(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "the header fields are too many or too large",
    ),
    code(StatusCode::GATEWAY_TIMEOUT, "timeout", "the request took longer than this server waits"),
];
const BODY: [Code; 4] = [
    code(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the content type must be application/json, without a content encoding",
    ),
    code(
        StatusCode::BAD_REQUEST,
        "invalid_json",
        "the body is not JSON in UTF-8, nests too deep or names a member twice",
    ),
    code(StatusCode::BAD_REQUEST, "incomplete_body", "the body ended before its announced length"),
    code(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_request",
        "a member of the body is missing, unknown or of another type; errors points to it",
    ),
];

pub(crate) const NOT_READY: Code = code(
    StatusCode::SERVICE_UNAVAILABLE,
    "not_ready",
    "a service that every request needs is missing",
);

// What is behind the gateway.
pub(crate) const VERIFICATION_UNAVAILABLE: Code = code(
    StatusCode::SERVICE_UNAVAILABLE,
    "verification_unavailable",
    "the key cannot be checked now, which says nothing about the key; try again",
);
pub(crate) const VAULT_UNAVAILABLE: Code = code(
    StatusCode::SERVICE_UNAVAILABLE,
    "vault_unavailable",
    "actions cannot be run now; try again",
);
pub(crate) const ACCESS_CHANGING: Code = code(
    StatusCode::SERVICE_UNAVAILABLE,
    "access_changing",
    "what the key may do is being changed; try again",
);
pub(crate) const CONNECTION_UNUSABLE: Code = code(
    StatusCode::CONFLICT,
    "connection_unusable",
    "the connected account cannot be used now; somebody has to look at it in the console",
);
pub(crate) const CONNECTION_BUSY: Code = code(
    StatusCode::TOO_MANY_REQUESTS,
    "connection_busy",
    "as many requests as the app takes at once from one connected account are under way; nothing \
     was run",
);
pub(crate) const CONNECTION_RATE_LIMITED: Code = code(
    StatusCode::TOO_MANY_REQUESTS,
    "connection_rate_limited",
    "the app takes no more requests from the connected account for now; nothing was run",
);
pub(crate) const APP_ERROR: Code = code(
    StatusCode::BAD_GATEWAY,
    "app_error",
    "the app answered with an error; upstreamStatus and outputs hold its answer",
);
pub(crate) const APP_UNREACHABLE: Code = code(
    StatusCode::BAD_GATEWAY,
    "app_unreachable",
    "the app could not be reached or its answer could not be used; the action may have happened",
);
pub(crate) const APP_TIMEOUT: Code = code(
    StatusCode::GATEWAY_TIMEOUT,
    "app_timeout",
    "the app did not answer in time; the action may have happened",
);
pub(crate) const INTERNAL: Code = code(
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal",
    "a defect; the request id finds it in the log",
);

/// The code of a refused key: design §5, the one table from a refusal to REST.
pub(crate) const fn of_refusal(refusal: Refusal) -> Code {
    let status = match refusal.class() {
        RefusalClass::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalClass::Forbidden => StatusCode::FORBIDDEN,
        RefusalClass::Limited => StatusCode::TOO_MANY_REQUESTS,
    };
    let meaning = match refusal {
        Refusal::Invalid => "this is not a key, or no longer one",
        Refusal::Revoked => "the key was revoked",
        Refusal::Expired => "the key, or this secret of it, has expired",
        Refusal::Disabled => "the key is disabled",
        Refusal::Suspended => "the key's team is suspended",
        Refusal::PlanRequired => "the plan of the key's team has no API access",
        Refusal::ComponentNotAllowed => "the key has no grant for this component",
        Refusal::ConnectionNotAllowed => {
            "the grant is for another account, or its account cannot be used now"
        }
        Refusal::IpNotAllowed => "the key may not be used from this address",
        Refusal::RateLimited => "the key was used too often; try again later",
        Refusal::QuotaExceeded => "the key's requests of this month are used up",
    };
    code(status, refusal.code(), meaning)
}

/// What any request with a key may get.
pub(crate) fn of_key() -> Vec<Code> {
    let own = [
        KEY_REQUIRED,
        UNSUPPORTED_SCHEME,
        MANAGEMENT_TOKEN,
        PUBLIC_KEY,
        AMBIGUOUS_CREDENTIALS,
        MALFORMED_CREDENTIALS,
        INVALID_QUERY,
        VERIFICATION_UNAVAILABLE,
        INTERNAL,
    ];
    let about_components = [Refusal::ComponentNotAllowed, Refusal::ConnectionNotAllowed];
    let refusals = Refusal::ALL.into_iter().filter(|refusal| !about_components.contains(refusal));
    own.into_iter().chain(EDGE).chain(refusals.map(of_refusal)).collect()
}

/// What a request that names a component may get.
pub(crate) fn of_component() -> Vec<Code> {
    let own = [
        UNKNOWN_COMPONENT,
        of_refusal(Refusal::ComponentNotAllowed),
        of_refusal(Refusal::ConnectionNotAllowed),
    ];
    of_key().into_iter().chain(own).collect()
}

/// What a run may get.
pub(crate) fn of_run() -> Vec<Code> {
    let own = [
        NOT_RUNNABLE,
        INVALID_IDEMPOTENCY_KEY,
        IDEMPOTENCY_KEY_REUSED,
        IDEMPOTENCY_IN_PROGRESS,
        OUTCOME_UNKNOWN,
        RESPONSE_NOT_KEPT,
        INVALID_INPUTS,
        VAULT_UNAVAILABLE,
        ACCESS_CHANGING,
        CONNECTION_UNUSABLE,
        CONNECTION_BUSY,
        CONNECTION_RATE_LIMITED,
        APP_ERROR,
        APP_UNREACHABLE,
        APP_TIMEOUT,
    ];
    of_component().into_iter().chain(BODY).chain(own).collect()
}
