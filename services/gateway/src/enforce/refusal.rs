//! What a caller is told when the verdict is no, or when there is none.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use keystile_contract::{
    Failure,
    convert::{from_refusal, wall},
    proto::verification::v1::Refused,
};
use keystile_domain::{ComponentId, ErrorKind, Refusal};
use keystile_runtime::Problem;
use time::OffsetDateTime;

use crate::code;

/// How soon to ask again when verification cannot answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A refusal as a problem, with what was required and what the key holds for who proved it.
pub(super) fn refused(
    refused: &Refused,
    component: Option<&ComponentId>,
    now: OffsetDateTime,
) -> Problem {
    let Some(refusal) = from_refusal(refused.reason()) else {
        return defect("verification refused without a reason");
    };
    let problem = code::of_refusal(refusal).problem();
    match refusal {
        Refusal::ComponentNotAllowed | Refusal::ConnectionNotAllowed => {
            let required: Vec<_> = component.into_iter().map(ComponentId::as_str).collect();
            problem.with("required", required).with("held", refused.held_components.clone())
        }
        Refusal::RateLimited | Refusal::QuotaExceeded => {
            match refused.retry_at.as_ref().and_then(wall) {
                Some(at) => limited(problem, refusal, at - now),
                None => problem,
            }
        }
        Refusal::Invalid
        | Refusal::Revoked
        | Refusal::Expired
        | Refusal::Disabled
        | Refusal::Suspended
        | Refusal::PlanRequired
        | Refusal::IpNotAllowed => problem,
    }
}

/// The apps of the key's team are not known.
pub(crate) fn unavailable(failure: &Failure) -> Problem {
    tracing::warn!(reason = failure.reason, "vault does not say which apps a team has");
    code::VAULT_UNAVAILABLE.problem().retry_after(RETRY_AFTER)
}

/// When a limit allows again: whole seconds, never too few, in `Retry-After` and in `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers).
fn limited(problem: Problem, refusal: Refusal, wait: time::Duration) -> Problem {
    let wait = Duration::try_from(wait).unwrap_or_default();
    let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
    let policy = if refusal == Refusal::QuotaExceeded { "month" } else { "minute" };
    let problem = problem.retry_after(Duration::from_secs(seconds));
    match HeaderValue::from_str(&format!("\"{policy}\";r=0;t={seconds}")) {
        Ok(value) => problem.header(RATE_LIMIT, value),
        Err(_) => problem,
    }
}

/// No verdict. Never 401: this says nothing about the key.
pub(super) fn not_answered(failure: &Failure) -> Problem {
    match failure.kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Exhausted | ErrorKind::Stale => {
            tracing::warn!(reason = failure.reason, "verification does not answer");
            code::VERIFICATION_UNAVAILABLE.problem().retry_after(RETRY_AFTER)
        }
        // The gateway asked wrongly or may not ask: nothing that the caller could mend.
        ErrorKind::Invalid
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Upstream
        | ErrorKind::Internal => defect(&failure.message),
    }
}

/// A defect behind the gateway, logged here and not told.
pub(super) fn defect(cause: &str) -> Problem {
    tracing::error!(cause, "verification cannot be used");
    code::INTERNAL.problem()
}
