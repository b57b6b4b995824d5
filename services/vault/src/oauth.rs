//! What is said to authorization servers. Ours, not a library's: the guarded client carries it, a
//! provider's dialect decides its words, every buffer with a token is wiped, and an answer that was
//! lost must be told apart from one that never came about.

pub(crate) mod client;
pub(crate) mod endpoints;
pub(crate) mod metadata;
pub(crate) mod random;
pub(crate) mod token;

use std::time::Duration;

/// The time for one exchange with an authorization server.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer of one, bytes.
const LARGEST_ANSWER: usize = 256 << 10;

/// Why an authorization server gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It said no, in its own code (RFC 6749 section 5.2).
    #[error("the provider answered {0}")]
    Refused(String),
    /// It was not reached, or said that it cannot answer now. It did nothing.
    #[error("the provider is not available: {0}")]
    Unavailable(String),
    /// It may have done what it was asked for, and its answer did not arrive.
    #[error("the provider's answer was lost")]
    Lost,
    /// It did what it was asked for, and its answer makes no sense.
    #[error("the provider's answer makes no sense: {0}")]
    Invalid(&'static str),
}

impl Failure {
    /// What a failed exchange means. Only before the request was sent is it certain that nothing
    /// happened.
    fn of(error: &keystile_egress::Error) -> Self {
        if error.reached_nobody() { Self::Unavailable(error.to_string()) } else { Self::Lost }
    }

    /// Did it refuse the client, not the request?
    pub(crate) fn refuses_client(&self) -> bool {
        // The last three are GitHub's and Slack's words for the first.
        const CODES: [&str; 6] = [
            "invalid_client",
            "unauthorized_client",
            "http_401",
            "incorrect_client_credentials",
            "invalid_client_id",
            "bad_client_secret",
        ];
        matches!(self, Self::Refused(code) if CODES.contains(&code.as_str()))
    }

    /// Did it refuse the code or the refresh token, so that a person must consent again?
    pub(crate) fn refuses_grant(&self) -> bool {
        // The others are the words of GitHub and Slack.
        const CODES: [&str; 7] = [
            "invalid_grant",
            "bad_refresh_token",
            "bad_verification_code",
            "invalid_code",
            "invalid_refresh_token",
            "token_expired",
            "token_revoked",
        ];
        matches!(self, Self::Refused(code) if CODES.contains(&code.as_str()))
    }
}
