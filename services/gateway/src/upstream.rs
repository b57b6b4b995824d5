//! What a caller is told of the app's answer beside its body: `Keystile-Upstream-Status`, and each
//! header that vault passes on behind `Keystile-Upstream-`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use keystile_contract::{convert::from_duration, proto::vault::v1::RunActionResponse};

pub(crate) const STATUS: HeaderName = HeaderName::from_static("keystile-upstream-status");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFIX: &str = "keystile-upstream-";
const RETRY_AFTER: HeaderName = HeaderName::from_static("keystile-upstream-retry-after");

/// The headers that tell of `answer`, one of each name.
pub(crate) fn headers(answer: &RunActionResponse) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Fields of one name are one list (RFC 9110, §5.3).
    let mut lists = BTreeMap::<&str, Vec<&str>>::new();
    for header in &answer.headers {
        lists.entry(&header.name).or_default().push(&header.value);
    }
    for (name, values) in lists {
        let name = HeaderName::try_from(format!("{PREFIX}{name}"));
        let value = HeaderValue::try_from(values.join(", "));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    if let Some(wait) = from_duration(answer.retry_after.as_ref()) {
        headers.insert(RETRY_AFTER, wait.as_secs().into());
    }
    if answer.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    headers.insert(STATUS, answer.status.into());
    headers
}
