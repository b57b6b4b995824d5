//! The credential of a connection: how it is put on a request, and what to look for in the answer.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::{error::Error, headers::is_reserved, scrub::SHORTEST};

/// What proves to an outside app who asks.
#[derive(Debug, Clone)]
pub enum Credential {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretString),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user name. Many apps take an API key here.
        user: SecretString,
        /// The password; may be empty.
        password: SecretString,
    },
    /// A header of the app's own.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: SecretString,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// Its value.
        value: SecretString,
    },
    /// Each of them.
    All(Vec<Credential>),
    /// The app asks for none.
    None,
}

type Secret = Zeroizing<Vec<u8>>;

impl Credential {
    /// Puts the credential on a request, in the place of whatever is there.
    pub(crate) fn apply(&self, url: &mut Url, headers: &mut HeaderMap) -> Result<(), Error> {
        match self {
            Self::Bearer(token) => {
                let value = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
                insert(headers, header::AUTHORIZATION, &value)
            }
            Self::Basic { user, password } => {
                if user.expose_secret().contains(':') {
                    return Err(Error::Credential);
                }
                let value = Zeroizing::new(format!("Basic {}", basic(user, password).as_str()));
                insert(headers, header::AUTHORIZATION, &value)
            }
            Self::Header { name, value } => {
                if is_reserved(name) {
                    return Err(Error::Credential);
                }
                insert(headers, name.clone(), value.expose_secret())
            }
            Self::Query { name, value } => {
                set_parameter(url, name, value.expose_secret());
                Ok(())
            }
            Self::All(all) => all.iter().try_for_each(|one| one.apply(url, headers)),
            Self::None => Ok(()),
        }
    }

    /// The texts that must not come back.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let copy = |text: &SecretString| Zeroizing::new(text.expose_secret().as_bytes().to_vec());
        match self {
            Self::Bearer(token) => vec![copy(token)],
            Self::Basic { user, password } => {
                let pair = basic(user, password);
                let mut secrets = vec![Zeroizing::new(pair.as_bytes().to_vec()), copy(password)];
                // With an API key for a user name the password is empty or a filler like `x`. A
                // real user name is not a secret, and may be a common word.
                if password.expose_secret().len() < SHORTEST {
                    secrets.push(copy(user));
                }
                secrets
            }
            Self::Header { value, .. } => {
                // `Token abc`: the part behind the scheme is the secret.
                let mut secrets = vec![copy(value)];
                if let Some((_, last)) = value.expose_secret().rsplit_once(' ') {
                    secrets.push(Zeroizing::new(last.as_bytes().to_vec()));
                }
                secrets
            }
            Self::Query { value, .. } => vec![copy(value)],
            Self::All(all) => all.iter().flat_map(Self::secrets).collect(),
            Self::None => Vec::new(),
        }
    }
}

fn basic(user: &SecretString, password: &SecretString) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{}:{}", user.expose_secret(), password.expose_secret()));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Error::Credential)?;
    // Keeps it out of `Debug` and out of HPACK's tables.
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Leaves the other parameters byte for byte as they are.
fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let is_other = |pair: &&str| {
        let key = form_urlencoded::parse(pair.as_bytes()).next();
        key.is_some_and(|(key, _)| key != name)
    };
    let mut query = Zeroizing::new(String::new());
    for pair in url.query().unwrap_or_default().split('&').filter(is_other) {
        query.push_str(pair);
        query.push('&');
    }
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    query.push_str(&Zeroizing::new(pair));
    url.set_query(Some(&query));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(credential: &Credential, url: &str) -> (String, HeaderMap) {
        let mut url = url.parse().unwrap();
        let mut headers = HeaderMap::new();
        for planted in ["Bearer forged", "Basic forged"] {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(planted));
        }
        headers.append("x-api-key", HeaderValue::from_static("forged"));
        credential.apply(&mut url, &mut headers).unwrap();
        (url.into(), headers)
    }

    #[test]
    fn a_credential_replaces_what_is_there() {
        let (_, headers) = applied(&Credential::Bearer("abc".into()), "https://a/");
        let values: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
        assert_eq!(values, ["Bearer abc"]);

        let aladdin = Credential::Basic { user: "Aladdin".into(), password: "open sesame".into() };
        let (_, headers) = applied(&aladdin, "https://a/");
        assert_eq!(headers[header::AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(headers[header::AUTHORIZATION].is_sensitive());

        let name = HeaderName::from_static("x-api-key");
        let own = Credential::Header { name: name.clone(), value: "k".into() };
        let (_, headers) = applied(&own, "https://a/");
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), ["k"]);

        let query = Credential::Query { name: "api key".into(), value: "a&b c".into() };
        let planted = "https://a/?x=%20y&api+key=1&api%20key=2&&z";
        assert_eq!(applied(&query, planted).0, "https://a/?x=%20y&z&api+key=a%26b+c");
        assert_eq!(applied(&query, "https://a/").0, "https://a/?api+key=a%26b+c");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut url = "https://a/".parse().unwrap();
        for credential in [
            Credential::Bearer("a\r\nx-injected: 1".into()),
            Credential::Basic { user: "a:b".into(), password: "c".into() },
            Credential::Header { name: header::HOST, value: "inside".into() },
            Credential::Header { name: header::CONNECTION, value: "close".into() },
        ] {
            let refused = credential.apply(&mut url, &mut HeaderMap::new());
            assert_eq!(refused, Err(Error::Credential), "{credential:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = || SecretString::from("swordfish");
        for credential in [
            Credential::Bearer(secret()),
            Credential::Basic { user: secret(), password: secret() },
            Credential::Header { name: header::COOKIE, value: secret() },
            Credential::Query { name: "key".into(), value: secret() },
        ] {
            assert!(!format!("{credential:?}").contains("swordfish"));
        }
    }
}
