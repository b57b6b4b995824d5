//! What a URL must be before anything is done with it.

use http::Uri;
use url::Url;

use crate::error::{Error, UrlFault};

/// The URL as HTTP sends it. The `url` crate has by then turned every odd spelling of an address
/// (`0x7f.1`, `2130706433`, full-width digits) into the plain one (WHATWG URL, host parsing).
pub(crate) fn uri(url: &Url) -> Result<Uri, Error> {
    let fault = if !matches!(url.scheme(), "http" | "https") {
        UrlFault::Scheme
    } else if url.host_str().is_none_or(str::is_empty) {
        UrlFault::Host
    } else if has_user_info(url) {
        UrlFault::UserInfo
    } else if url.port() == Some(0) {
        UrlFault::Port
    } else {
        let mut sent = url.clone();
        sent.set_fragment(None);
        return sent.as_str().parse().map_err(|_| Error::Url(UrlFault::Characters));
    };
    Err(Error::Url(fault))
}

pub(crate) fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_pass() {
        for (text, fault) in [
            ("ftp://example.com/", UrlFault::Scheme),
            ("file:///etc/passwd", UrlFault::Scheme),
            ("gopher://example.com/", UrlFault::Scheme),
            ("data:text/plain,a", UrlFault::Scheme),
            ("https://user@example.com/", UrlFault::UserInfo),
            ("https://:password@example.com/", UrlFault::UserInfo),
            ("https://example.com@10.0.0.1/", UrlFault::UserInfo),
            ("https://example.com:0/", UrlFault::Port),
        ] {
            assert_eq!(uri(&text.parse().unwrap()), Err(Error::Url(fault)), "{text}");
        }
        let sent = uri(&"https://Example.com/a?b=c#d".parse().unwrap()).unwrap();
        assert_eq!(sent, "https://example.com/a?b=c");
    }
}
