//! The flow cookie, RFC 6265, and what ties a form to it.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keystile_domain::IntegrationId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How long a flow lives in vault, seconds.
const MAX_AGE: u32 = 600;

/// The cookie of one integration's flow.
pub(super) struct Jar {
    name: String,
    secure: bool,
}

impl Jar {
    /// With TLS the name has the prefix that keeps other hosts of the domain from setting it.
    pub(super) fn new(integration: IntegrationId, secure: bool) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        Self { name: format!("{prefix}keystile_flow_{integration}"), secure }
    }

    /// What the browser holds. Of two nobody could say which is ours.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<SecretString> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name)
            .map(|(_, value)| value);
        let value = found.next().filter(|value| !value.is_empty());
        if found.next().is_some() { None } else { value.map(Into::into) }
    }

    /// For the browser to keep. `None` if the value does not fit in a cookie.
    pub(super) fn keep(&self, value: &str) -> Option<HeaderValue> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        value.bytes().all(fits).then(|| self.line(value, MAX_AGE))
    }

    /// For the browser to forget.
    pub(super) fn clear(&self) -> HeaderValue {
        self.line("", 0)
    }

    fn line(&self, value: &str, max_age: u32) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = &self.name;
        let line =
            format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        let mut line = HeaderValue::from_str(&line).expect("visible ASCII fits in a header");
        line.set_sensitive(true);
        line
    }
}

/// What the form of a page repeats: it was rendered for the flow of this very cookie. Says nothing
/// of the cookie, nor of the digest that vault keeps of it.
pub(super) fn csrf(cookie: &SecretString) -> String {
    let digest = Sha256::new()
        .chain_update(b"keystile connect form\0")
        .chain_update(cookie.expose_secret())
        .finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

/// Does `sent` come from a page that was rendered for the flow of this cookie?
pub(super) fn is_csrf(cookie: &SecretString, sent: &str) -> bool {
    csrf(cookie).as_bytes().ct_eq(sent.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(secure: bool) -> Jar {
        Jar::new("int_01h455vb4pex5vsknk084sn02q".parse().expect("an id"), secure)
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_only_if_it_is_alone() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_str(line).expect("a line"));
            }
            jar(true).find(&headers).map(|cookie| cookie.expose_secret().to_owned())
        };
        let name = "__Host-keystile_flow_int_01h455vb4pex5vsknk084sn02q";
        assert_eq!(of(&[&format!("a=b; {name}=x=1;c=d")]).as_deref(), Some("x=1"));
        assert_eq!(of(&["a=b", &format!("{name}=x")]).as_deref(), Some("x"));
        assert_eq!(of(&[&format!("{name}=x; {name}=y")]), None);
        assert_eq!(of(&[&format!("{name}=x"), &format!("{name}=x")]), None);
        assert_eq!(of(&[&format!("{name}=")]), None);
        assert_eq!(
            of(&[&format!("{name}r=x; keystile_flow_int_01h455vb4pex5vsknk084sn02q=x")]),
            None
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn nothing_but_a_value_is_kept() {
        assert!(jar(false).keep("abc-_~=").is_some());
        for value in ["a;b", "a b", "a\"", "a,b", "a\r\nset-cookie: b", "é"] {
            assert!(jar(false).keep(value).is_none(), "{value}");
        }
    }

    #[test]
    fn a_form_of_one_flow_is_none_of_another() {
        let (one, other) = (SecretString::from("one"), SecretString::from("other"));
        assert!(is_csrf(&one, &csrf(&one)));
        assert!(!is_csrf(&one, &csrf(&other)));
        assert!(!is_csrf(&one, ""));
        assert!(!is_csrf(&one, &csrf(&one)[1..]));
    }
}
