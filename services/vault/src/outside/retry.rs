//! Which calls are made again, and when.
//!
//! Only what is safe is: a method that only reads (RFC 9110, §9.2.1), and, whatever the method, a
//! request of which nothing can have left. What may have reached the app is never sent again, since
//! it may have been done.

use std::time::Duration;

use http::{Method, StatusCode};
use keystile_egress::Error as Exchange;

use super::Answer;
use crate::error::Error;

/// How often a call is made at most.
pub(super) const ATTEMPTS: u32 = 3;

/// The pauses where the app names none.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An app that asks for more is told to the caller, who has better things to do.
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// When to make a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// After a pause.
    Soon,
    /// After exactly that.
    After(Duration),
}

/// When to make the call again after what came of it; never, if that is the outcome.
pub(super) fn again(method: &Method, outcome: &Result<Answer, Error>) -> Option<Again> {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match outcome {
        Ok(answer) if safe => answered(answer),
        Err(Error::Egress(cause)) => match cause {
            Exchange::Connect(_) | Exchange::ConnectTimeout => Some(Again::Soon),
            Exchange::Protocol if safe => Some(Again::Soon),
            _ => None,
        },
        Ok(_) | Err(_) => None,
    }
}

fn answered(answer: &Answer) -> Option<Again> {
    match (answer.status, answer.retry_after) {
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(wait)) => {
            (wait <= MOST_PATIENCE).then_some(Again::After(wait))
        }
        (
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT,
            _,
        ) => Some(Again::Soon),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const UNSAFE: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    const SAFE: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

    fn answer(status: u16, retry_after: Option<Duration>) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: Vec::new(), outputs: Vec::new(), retry_after }
    }

    #[test]
    fn an_answer_is_asked_for_again_only_by_methods_that_only_read() {
        for (status, wait, expected) in [
            (429, Some(SECOND), Some(Again::After(SECOND))),
            (429, None, None),
            (429, Some(31 * SECOND), None),
            (503, Some(SECOND), Some(Again::After(SECOND))),
            (503, Some(31 * SECOND), None),
            (503, None, Some(Again::Soon)),
            (502, None, Some(Again::Soon)),
            (504, Some(SECOND), Some(Again::Soon)),
            (500, Some(SECOND), None),
            (408, None, None),
            (200, Some(SECOND), None),
            (301, Some(SECOND), None),
        ] {
            let outcome = Ok(answer(status, wait));
            for method in SAFE {
                assert_eq!(again(&method, &outcome), expected, "{method} {status} {wait:?}");
            }
            for method in UNSAFE {
                assert_eq!(again(&method, &outcome), None, "{method} {status}");
            }
        }
    }

    #[test]
    fn what_may_have_left_is_not_sent_again() {
        for (cause, for_all, for_safe) in [
            (Exchange::Connect(ErrorKind::ConnectionRefused), true, true),
            (Exchange::ConnectTimeout, true, true),
            (Exchange::Protocol, false, true),
            (Exchange::Timeout, false, false),
            (Exchange::AfterRedirect(Box::new(Exchange::ConnectTimeout)), false, false),
            (Exchange::Tls, false, false),
            (Exchange::Overloaded, false, false),
            (Exchange::AddressRefused(keystile_egress::address::Rule::Private), false, false),
            (Exchange::ResponseTooLarge { limit: 1 }, false, false),
        ] {
            let expected = |yes: bool| yes.then_some(Again::Soon);
            assert!(!for_all || cause.reached_nobody(), "{cause}");
            let outcome = Err(cause.into());
            for method in SAFE {
                assert_eq!(again(&method, &outcome), expected(for_safe), "{method} {outcome:?}");
            }
            for method in UNSAFE {
                assert_eq!(again(&method, &outcome), expected(for_all), "{method} {outcome:?}");
            }
        }
        assert_eq!(again(&Method::GET, &Err(Error::NoLease)), None);
        assert_eq!(again(&Method::GET, &Err(Error::ConnectionBusy)), None);
    }
}
