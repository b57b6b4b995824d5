//! Which page sent a form. As Go's `http.CrossOriginProtection` tells it: by what no page can set.

use axum::http::{HeaderMap, HeaderName, Uri, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Was it a page of this gateway? Browsers say so in `Sec-Fetch-Site` where they trust the
/// connection, and in `Origin` otherwise, which is held against `own` or, if that is not known, the
/// host that was asked for. Who sends neither is no browser, or one that only its cookie can vouch
/// for.
pub(super) fn is_own(headers: &HeaderMap, uri: &Uri, own: Option<&str>) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    if let Some(site) = sites.next() {
        return site == "same-origin" && sites.next().is_none();
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    if let Some(own) = own {
        return origin == own;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 names it in the target.
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    let sender = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((host, sender), (Some(host), Some((_, sender))) if host.eq_ignore_ascii_case(sender))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_page_of_this_gateway_is_its_own() {
        let of = |sent: &[(&'static str, &'static str)], own: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, HeaderValue::from_static(value));
            }
            is_own(&headers, &Uri::from_static("/connect/x"), own)
        };
        let own = Some("https://gateway.example.com");
        assert!(of(&[], own));
        assert!(of(&[("sec-fetch-site", "same-origin")], own));
        // A page whose referrer a browser's extension hides.
        assert!(of(&[("sec-fetch-site", "same-origin"), ("origin", "null")], own));
        assert!(of(&[("origin", "https://gateway.example.com")], own));
        assert!(of(&[("origin", "http://gateway:8080"), ("host", "Gateway:8080")], None));
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://gateway.example.com")],
            &[("origin", "null"), ("host", "gateway.example.com")],
            &[("origin", "https://gateway.example.com.evil.example")],
            &[("origin", "http://gateway.example.com")],
            &[("origin", "https://evil.example"), ("host", "gateway.example.com")],
        ] {
            assert!(!of(foreign, own), "{foreign:?}");
        }
        assert!(!of(&[("origin", "http://evil.example"), ("host", "gateway:8080")], None));
        assert!(!of(&[("origin", "null"), ("host", "null")], None));
        assert!(!of(&[("origin", "http://gateway:8080")], None));
    }
}
