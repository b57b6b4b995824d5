//! The pages themselves. They load nothing and run no script.
//!
//! Templates (askama) rather than strings: names of accounts, scopes and people come from outside,
//! and a value that nobody thought of is escaped like every other.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keystile_contract::{
    convert::wall,
    proto::vault::v1::{CompleteConnectResponse, OpenConnectResponse},
};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, macros::format_description};

use super::notice::{self, Notice, Tone};

const STYLE: &str = include_str!("../../templates/connect/page.css");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// This style and nothing else. No `form-action`: browsers that hold it against redirects, too,
/// would stop the way to the provider.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("a policy of base64 and literals is printable")
});

#[derive(Template)]
#[template(path = "connect/consent.html")]
struct Consent<'a> {
    asked: &'a OpenConnectResponse,
    csrf: String,
    until: Option<Until>,
}

/// The end of a flow.
struct Until {
    /// For programs, RFC 3339.
    exact: String,
    /// For people.
    clock: String,
    minutes: i64,
}

#[derive(Template)]
#[template(path = "connect/connected.html")]
struct Connected<'a> {
    ended: &'a CompleteConnectResponse,
}

#[derive(Template)]
#[template(path = "connect/notice.html")]
struct Told<'a> {
    notice: &'a Notice,
    /// Empty if there is nothing to look up.
    request_id: &'a str,
}

/// Who asks for what, and the button. `csrf` comes back with it.
pub(super) fn consent(asked: &OpenConnectResponse, csrf: String, now: OffsetDateTime) -> Response {
    let until = asked.expires_at.as_ref().and_then(wall).map(|at| until(at, now));
    let mut response = html(StatusCode::OK, &Consent { asked, csrf, until });
    // Its address has no secret, and with `no-referrer` browsers send the form as of origin `null`.
    let policy = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(header::REFERRER_POLICY, policy);
    response
}

fn until(at: OffsetDateTime, now: OffsetDateTime) -> Until {
    let form = format_description!("[hour]:[minute]");
    let exact = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    Until {
        exact: at.format(&exact).unwrap_or_default(),
        clock: at.format(&form).unwrap_or_default(),
        minutes: (at - now).whole_minutes().max(1),
    }
}

/// The account is there.
pub(super) fn connected(ended: &CompleteConnectResponse) -> Response {
    html(StatusCode::OK, &Connected { ended })
}

/// The page of `notice` in the place of `answer`'s body.
pub(super) fn notice(answer: Response, notice: &Notice, request_id: &str) -> Response {
    let request_id = if notice.status == StatusCode::OK { "" } else { request_id };
    let (mut response, (mut parts, _)) =
        (html(notice.status, &Told { notice, request_id }), answer.into_parts());
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_SECURITY_POLICY] {
        parts.headers.remove(name);
    }
    response.headers_mut().extend(parts.headers);
    response
}

/// `HEAD` is for programs that follow links before a person does: it spends nothing.
pub(super) fn head() -> Response {
    [(header::CONTENT_TYPE, HTML)].into_response()
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(page) => {
            let policy = CONTENT_SECURITY_POLICY.clone();
            let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, policy)];
            (status, headers, page).into_response()
        }
        Err(error) => notice::defect(&error.to_string()).into_response(),
    }
}
