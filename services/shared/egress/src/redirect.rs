//! Which redirects are followed: those within the origin that the caller named.

use http::{HeaderMap, Method, StatusCode, header};
use keystile_domain::path::climbs;
use url::Url;

use crate::{
    error::{Error, RedirectFault},
    target::has_user_info,
};

/// Redirects in a row.
pub(crate) const MOST: usize = 5;

/// Where an answer sends the client next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) url: Url,
    pub(crate) method: Method,
    /// Whether the request's body goes along.
    pub(crate) keeps_body: bool,
}

/// The next request, if the answer is a redirect (RFC 9110, §15.4).
pub(crate) fn next(
    url: &Url,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Next>, Error> {
    let refused = |fault| Err(Error::RedirectRefused(fault));
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return Ok(None);
    };
    let target = std::str::from_utf8(location.as_bytes()).ok().and_then(|to| url.join(to).ok());
    let Some(target) = target else {
        return refused(RedirectFault::Location);
    };
    if has_user_info(&target) {
        return refused(RedirectFault::UserInfo);
    }
    if target.origin() != url.origin() {
        return refused(RedirectFault::Origin);
    }
    // An app that repeats what it was sent must not lead its caller to where no input could.
    if climbs(target.path()) {
        return refused(RedirectFault::Path);
    }
    let becomes_get = match status.as_u16() {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    };
    Ok(Some(Next {
        url: target,
        method: if becomes_get { Method::GET } else { method.clone() },
        keeps_body: !becomes_get,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(method: &Method, status: u16, location: &str) -> Result<Option<Next>, Error> {
        let url: Url = "https://api.example.com/v1/items?page=1".parse().unwrap();
        let headers = [(header::LOCATION, location.parse().unwrap())].into_iter().collect();
        next(&url, method, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn only_the_same_origin_is_followed() {
        for (location, fault) in [
            ("https://other.example.com/", RedirectFault::Origin),
            ("https://api.example.com:8443/", RedirectFault::Origin),
            ("http://api.example.com/", RedirectFault::Origin),
            ("http://api.example.com:443/", RedirectFault::Origin),
            ("//[::1]/", RedirectFault::Origin),
            ("https://api.example.com.evil.example/", RedirectFault::Origin),
            ("ftp://api.example.com/", RedirectFault::Origin),
            ("javascript:alert(1)", RedirectFault::Origin),
            ("https://user@api.example.com/", RedirectFault::UserInfo),
            ("https://api.example.com@10.0.0.1/", RedirectFault::UserInfo),
            ("https://[", RedirectFault::Location),
        ] {
            let refused = follow(&Method::GET, 302, location);
            assert_eq!(refused, Err(Error::RedirectRefused(fault)), "{location}");
        }
        for location in
            ["/v2", "items/2", "?page=2", "https://api.example.com:443/v2", "//api.example.com/"]
        {
            assert!(follow(&Method::GET, 302, location).unwrap().is_some(), "{location}");
        }
    }

    #[test]
    fn methods_change_as_the_standard_says() {
        for (method, status, becomes, keeps_body) in [
            (Method::POST, 301, Method::GET, false),
            (Method::POST, 302, Method::GET, false),
            (Method::POST, 303, Method::GET, false),
            (Method::POST, 307, Method::POST, true),
            (Method::POST, 308, Method::POST, true),
            (Method::PUT, 302, Method::PUT, true),
            (Method::PUT, 303, Method::GET, false),
            (Method::HEAD, 303, Method::HEAD, true),
        ] {
            let next = follow(&method, status, "/next").unwrap().unwrap();
            assert_eq!((next.method, next.keeps_body), (becomes, keeps_body), "{status}");
        }
        assert_eq!(follow(&Method::GET, 304, "/next"), Ok(None));
        assert_eq!(follow(&Method::GET, 201, "/next"), Ok(None));
    }
}
