//! Which request headers an input may set.

use http::HeaderName;

/// Headers that frame the message, name the peer, carry credentials or change what the request
/// means. Egress and the credential own them.
const OWNED: [&str; 27] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// The header of this name, if an input may set it.
pub(crate) fn open(name: &str) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let text = header.as_str();
    let owned = OWNED.contains(&text)
        || text.starts_with("x-forwarded-")
        || text.starts_with("x-keystile-")
        || text.starts_with("sec-")
        || text == "x-real-ip";
    (!owned).then_some(header)
}

/// May an API key travel in this header?
pub(crate) fn may_carry_key(name: &str) -> bool {
    name.eq_ignore_ascii_case("authorization") || open(name).is_some()
}
