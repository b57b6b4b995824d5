//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): what a caller calls its request,
//! so that a repeat of it is recognised.

use axum::http::{HeaderMap, HeaderName};
use keystile_runtime::Problem;

use crate::code;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const LONGEST: usize = 255;

/// The idempotency key of a request, empty if it has none: a string of structured fields (RFC 9651,
/// §3.3.3), or the bare characters that most clients send. Both name the same.
///
/// # Errors
/// It is empty, too long or has other characters than visible ASCII, and spaces within quotes; or
/// there are two.
pub(crate) fn of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(String::new()) };
    let key = match value.as_bytes() {
        _ if given.next().is_some() => None,
        [b'"', quoted @ .., b'"'] => unquoted(quoted),
        bare => bare.iter().all(u8::is_ascii_graphic).then(|| bare.to_vec()),
    };
    key.and_then(|key| String::from_utf8(key).ok())
        .filter(|key| (1..=LONGEST).contains(&key.len()))
        .ok_or_else(|| code::INVALID_IDEMPOTENCY_KEY.problem())
}

fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = quoted.iter();
    let mut key = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'\\' => *bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?,
            b'"' => return None,
            b' '..=b'~' => *byte,
            _ => return None,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let value = |text: &&str| HeaderValue::from_bytes(text.as_bytes()).expect("a value");
        let headers = values.iter().map(|text| (IDEMPOTENCY_KEY, value(text))).collect();
        of(&headers).ok()
    }

    #[test]
    fn a_bare_key_and_a_quoted_one_name_the_same() {
        assert_eq!(read(&[]).as_deref(), Some(""));
        let longest = "x".repeat(255);
        for (text, key) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e\"", "8e03978e"),
            ("\"order 7\"", "order 7"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a\"b", "a\"b"),
            ("!~", "!~"),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(read(&[text]).as_deref(), Some(key), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(256);
        for text in
            ["", "\"\"", "a b", "\"a", "\"a\"b\"", r#""a\b""#, r#""a\""#, "é", "\"é\"", &long]
        {
            // A quote that is not closed is a character like any other.
            let expected = (text == "\"a").then_some("\"a");
            assert_eq!(read(&[text]).as_deref(), expected, "{text}");
        }
        assert_eq!(read(&["a", "b"]), None);
        assert_eq!(read(&["a", "a"]), None);
    }
}
