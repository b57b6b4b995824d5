//! The key of a request: exactly one, in one of two headers, once.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use keystile_runtime::Problem;
use secrecy::SecretString;

use crate::code;

/// The header for clients that cannot set `Authorization`.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The token of a request, unproven.
///
/// # Errors
/// 401 if there is none or one that never opens this API, 400 if it is not clear which is meant.
/// Nothing of what was sent is repeated.
pub(crate) fn token(headers: &HeaderMap) -> Result<SecretString, Problem> {
    let authorization = once(headers, &AUTHORIZATION)?;
    let api_key = once(headers, &X_API_KEY)?;
    let token = match (authorization, api_key) {
        (Some(_), Some(_)) => return Err(code::AMBIGUOUS_CREDENTIALS.problem()),
        (None, None) => return Err(code::KEY_REQUIRED.problem()),
        (Some(value), None) => bearer(value)?,
        (None, Some(value)) => text(value)?,
    };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(code::MALFORMED_CREDENTIALS.problem());
    }
    // Both would be refused as invalid. A mix-up deserves a better word, and a management token
    // has no business in a verification request.
    if token.starts_with("ksm_") {
        return Err(code::MANAGEMENT_TOKEN.problem());
    }
    if token.starts_with("pk_") {
        return Err(code::PUBLIC_KEY.problem());
    }
    Ok(SecretString::from(token))
}

fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(code::AMBIGUOUS_CREDENTIALS.problem()) } else { Ok(first) }
}

fn text(value: &HeaderValue) -> Result<&str, Problem> {
    value.to_str().map_err(|_| code::MALFORMED_CREDENTIALS.problem())
}

/// `Bearer` in any case, one or more spaces, the token (RFC 9110 §11.4, RFC 6750 §2.1).
fn bearer(value: &HeaderValue) -> Result<&str, Problem> {
    let value = text(value)?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.is_empty() {
        return Err(code::MALFORMED_CREDENTIALS.problem());
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(code::UNSUPPORTED_SCHEME.problem());
    }
    Ok(rest.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Result<String, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let expected = [
            code::KEY_REQUIRED,
            code::UNSUPPORTED_SCHEME,
            code::MANAGEMENT_TOKEN,
            code::PUBLIC_KEY,
            code::AMBIGUOUS_CREDENTIALS,
            code::MALFORMED_CREDENTIALS,
        ];
        token(&map).map(|token| token.expose_secret().to_owned()).map_err(|problem| {
            let known = expected.into_iter().find(|code| code.code == problem.code());
            let known = known.expect("a code of this table");
            assert_eq!(problem.status(), known.status);
            known.code
        })
    }

    #[test]
    fn one_header_once_gives_the_token() {
        for headers in [
            [("authorization", "Bearer ks_x")],
            [("authorization", "bEARER   ks_x")],
            [("x-api-key", "ks_x")],
        ] {
            assert_eq!(of(&headers).as_deref(), Ok("ks_x"), "{headers:?}");
        }
    }

    #[test]
    fn anything_else_has_its_own_code() {
        for (headers, expected) in [
            (&[][..], "key_required"),
            (&[("authorization", "Basic ks_x")], "unsupported_scheme"),
            (&[("authorization", "ks_x")], "unsupported_scheme"),
            (&[("authorization", "")], "malformed_credentials"),
            (&[("authorization", "Bearer")], "malformed_credentials"),
            (&[("authorization", "Bearer  ")], "malformed_credentials"),
            (&[("authorization", "Bearer\tks_x")], "unsupported_scheme"),
            (&[("authorization", "Bearer ks_x ks_y")], "malformed_credentials"),
            (&[("authorization", "Bearer ks_é")], "malformed_credentials"),
            (&[("x-api-key", "")], "malformed_credentials"),
            (&[("x-api-key", "Bearer ks_x")], "malformed_credentials"),
            (&[("x-api-key", "ksm_x")], "management_token"),
            (&[("authorization", "Bearer ksm_x")], "management_token"),
            (&[("authorization", "Bearer pk_prod_x")], "public_key"),
            (&[("authorization", "Bearer ks_x"), ("x-api-key", "ks_x")], "ambiguous_credentials"),
            (&[("authorization", "Bearer ks_x"), ("x-api-key", "")], "ambiguous_credentials"),
            (
                &[("authorization", "Bearer ks_x"), ("authorization", "Bearer ks_x")],
                "ambiguous_credentials",
            ),
            (&[("x-api-key", "ks_x"), ("x-api-key", "ks_x")], "ambiguous_credentials"),
        ] {
            assert_eq!(of(headers), Err(expected), "{headers:?}");
        }
    }
}
