//! What a person is told when no account was connected: the one table of these pages.
//!
//! A notice is an error of a handler. It becomes a page in [`super::pages`], which knows the request.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use keystile_contract::{Failure, proto::vault::v1::CompleteConnectResponse};
use keystile_domain::{ErrorKind, IntegrationId};

/// How soon to ask again when vault cannot answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What to do about an outage before the browser went to the provider.
pub(super) const RELOAD: &str = "Nothing was lost. Load this page again in a moment.";

/// What to do about an outage when it came back.
pub(super) const LOOK: &str = "Load this page again in a moment. If it then says that the link \
    cannot be used, look in Keystile whether the account is connected before you start again.";

/// Every error that a page here can have.
pub(crate) const STATUSES: [StatusCode; 11] = [
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::CONFLICT,
    StatusCode::GONE,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// How a notice looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As the person wanted it.
    Quiet,
    /// Something did not work.
    Trouble,
}

/// One page without an account.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(super) status: StatusCode,
    pub(super) tone: Tone,
    pub(super) heading: Cow<'static, str>,
    /// What happened.
    pub(super) what: Cow<'static, str>,
    /// What helps.
    pub(super) next: &'static str,
    /// A page of this integration that helps, relative to this one.
    pub(super) link: Option<String>,
}

impl Notice {
    fn new(
        status: StatusCode,
        heading: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        next: &'static str,
    ) -> Self {
        let (heading, what) = (heading.into(), what.into());
        Self { status, tone: Tone::Trouble, heading, what, next, link: None }
    }
}

impl IntoResponse for Notice {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from(RETRY_AFTER.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// No such flow in this browser, for whatever reason.
pub(super) fn unknown() -> Notice {
    Notice::new(
        StatusCode::BAD_REQUEST,
        "This link cannot be used",
        "It was used before, is older than ten minutes, belongs to another browser, or this \
         browser keeps no cookies for this site.",
        "If you were told just now that an account is connected, it is. If you started twice, go \
         on where you started last. Otherwise go back to where you came from and start again.",
    )
}

/// A parameter is there twice or too long.
pub(super) fn unreadable() -> Notice {
    Notice::new(
        StatusCode::BAD_REQUEST,
        "This link cannot be read",
        "A part of it is too long, or is there twice.",
        "Nothing was connected. Go back to where you came from and start again.",
    )
}

/// A form that another site sent.
pub(super) fn foreign() -> Notice {
    Notice::new(
        StatusCode::FORBIDDEN,
        "Another site sent this",
        "An account is connected from the page that says who asks, and from nowhere else.",
        "Nothing was connected. If you did not expect this, close the page.",
    )
}

/// A form of a page that shows another flow than the browser's last.
pub(super) fn superseded(integration: IntegrationId) -> Notice {
    let notice = Notice::new(
        StatusCode::CONFLICT,
        "You started again meanwhile",
        "In this browser, connecting an account was started once more after that page was loaded, \
         and only the last start counts.",
        "Nothing was connected yet.",
    );
    Notice { link: Some(integration.to_string()), ..notice }
}

/// The person said no.
pub(super) fn denied(ended: &CompleteConnectResponse) -> Notice {
    let app = &ended.app_name;
    let notice = Notice::new(
        StatusCode::OK,
        format!("{app} was not connected"),
        format!("You said no at {app}, and nothing was connected."),
        "You can close this page. If you change your mind, start again where you came from.",
    );
    Notice { tone: Tone::Quiet, ..notice }
}

/// It did not work.
pub(super) fn not_connected(ended: &CompleteConnectResponse) -> Notice {
    let (status, next) = match ended.reason.as_str() {
        "expired" => {
            (StatusCode::GONE, "Go back to where you came from and start again. It takes a minute.")
        }
        "issuer_mismatch" => (
            StatusCode::BAD_REQUEST,
            "Start again where you came from. If this comes again, tell whoever manages the \
             integration: somebody may be forging answers.",
        ),
        "connection_gone" => (
            StatusCode::CONFLICT,
            "Look in Keystile whether the connection is still there, and start again.",
        ),
        "integration_not_configured" => (
            StatusCode::CONFLICT,
            "Whoever manages the integration in Keystile has to put it in use first.",
        ),
        "client_refused" => (
            StatusCode::BAD_GATEWAY,
            "Starting again does not help. Whoever manages the integration in Keystile has to \
             check its client ID and secret.",
        ),
        "provider_unavailable" => {
            (StatusCode::BAD_GATEWAY, "Wait a few minutes, then start again where you came from.")
        }
        _ => (
            StatusCode::BAD_GATEWAY,
            "Start again where you came from. If this comes again, whoever manages the \
             integration in Keystile has to look at it.",
        ),
    };
    let heading = format!("{} was not connected", ended.app_name);
    Notice::new(status, heading, sentence(&ended.detail), next)
}

/// A failure of vault; `next` is what helps against an outage.
pub(super) fn failed(failure: &Failure, next: &'static str) -> Notice {
    match failure.kind {
        // What a browser brought and vault cannot even read is no better known.
        ErrorKind::NotFound | ErrorKind::Invalid => unknown(),
        ErrorKind::Conflict => Notice::new(
            StatusCode::CONFLICT,
            "This integration is not in use",
            "No account can be connected through it now.",
            "Whoever manages the integration in Keystile has to put it in use first.",
        ),
        ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Stale => {
            tracing::warn!(reason = failure.reason, "vault does not connect accounts");
            Notice { next, ..of_status(StatusCode::SERVICE_UNAVAILABLE) }
        }
        ErrorKind::Timeout => Notice { next, ..of_status(StatusCode::GATEWAY_TIMEOUT) },
        ErrorKind::Upstream
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::Internal => defect(&failure.message),
    }
}

/// A defect, logged here and not told.
pub(super) fn defect(cause: &str) -> Notice {
    tracing::error!(cause, "accounts cannot be connected");
    of_status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is known of an error by its status alone.
pub(super) fn of_status(status: StatusCode) -> Notice {
    let (heading, what, next) = match status {
        StatusCode::SERVICE_UNAVAILABLE => (
            "Accounts cannot be connected now",
            "A service behind this page does not answer.",
            RELOAD,
        ),
        StatusCode::GATEWAY_TIMEOUT => {
            ("This took too long", "There was no answer in time.", RELOAD)
        }
        StatusCode::NOT_FOUND => (
            "There is nothing here",
            "The link is not complete, or was changed on its way.",
            "Go back to where you came from and start again.",
        ),
        _ if status.is_server_error() => (
            "Something is broken here",
            "This is a fault of Keystile, not yours.",
            "Start again where you came from. If this comes again, tell whoever runs this Keystile \
             the number below.",
        ),
        _ => (
            "This cannot be answered",
            "The browser sent something that does not belong here.",
            "Go back to where you came from and start again.",
        ),
    };
    Notice::new(status, heading, what, next)
}

/// Vault's words as a sentence: its details begin small and end without a full stop.
fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(letters).chain(".".chars()).collect()
}
