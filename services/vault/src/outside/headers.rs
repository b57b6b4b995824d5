//! Which headers of an app's answer a caller gets to see.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// Known to help and to say nothing of the account's credential: what the body is, its version,
/// its other pages, how soon to come again, how the provider finds the request in its log.
const KEPT: [&str; 13] = [
    "content-language",
    "content-type",
    "deprecation",
    "etag",
    "last-modified",
    "link",
    "ratelimit",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "sunset",
    "x-total-count",
];

/// As [`KEPT`], with what stands before and after them; providers name them as they like.
const PREFIXES: [&str; 2] = ["x-ratelimit-", "x-rate-limit-"];
const SUFFIXES: [&str; 3] = ["request-id", "req-id", "correlation-id"];

const MOST: usize = 32;
const MOST_BYTES: usize = 4 << 10;

/// The headers that are passed on, in the order of their arrival: 32 of 4 KiB at most, in visible
/// ASCII. `Retry-After` is not among them: it is read.
pub(super) fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let fits = |text: &&str| text.len() <= MOST_BYTES;
    let text = |(name, value): (&HeaderName, &http::HeaderValue)| {
        let value = value.to_str().ok().filter(fits)?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    headers.iter().filter(|(name, _)| is_kept(name.as_str())).filter_map(text).take(MOST).collect()
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// How soon the app wants to be asked again (RFC 9110, §10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Duration::try_from(at - now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use time::macros::datetime;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_what_is_listed_is_passed_on() {
        let passed = [
            ("content-type", "application/json"),
            ("etag", "\"1\""),
            ("link", "<https://api.example.com/?page=2>; rel=\"next\""),
            ("x-ratelimit-remaining", "7"),
            ("x-github-request-id", "A1"),
            ("x-slack-req-id", "B2"),
            ("request-id", "C3"),
        ];
        let dropped = [
            ("location", "https://api.example.com/?key=canary"),
            ("authorization", "Bearer canary"),
            ("x-oauth-scopes", "repo"),
            ("server", "nginx"),
            ("www-authenticate", "Bearer realm=canary"),
            ("set-cookie", "a=b"),
            ("x-powered-by", "x"),
            ("content-length", "7"),
            ("retry-after", "7"),
        ];
        let all = [&passed[..], &dropped].concat();
        let expected = passed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(kept(&map(&all)), expected);
    }

    #[test]
    fn what_is_passed_on_is_bounded() {
        let mut headers = HeaderMap::new();
        headers.append("etag", HeaderValue::from_bytes(b"\xff").expect("a value"));
        headers.append("link", HeaderValue::from_str(&"x".repeat(MOST_BYTES + 1)).expect("one"));
        assert_eq!(kept(&headers), []);
        for number in 0..100_u32 {
            headers.append("link", number.into());
        }
        assert_eq!(kept(&headers).len(), MOST);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = datetime!(2026-11-21 12:00 UTC);
        let seconds = |count| Some(Duration::from_secs(count));
        for (text, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("Sat, 21 Nov 2026 12:01:30 GMT", seconds(90)),
            ("Sat, 21 Nov 2026 11:59:00 GMT", seconds(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999999999999999", None),
            ("2026-11-21T12:01:30Z", None),
        ] {
            assert_eq!(retry_after(&map(&[("retry-after", text)]), now), expected, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
