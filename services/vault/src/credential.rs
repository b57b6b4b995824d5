//! A static credential: what a person types, what is sealed, what egress injects.
//!
//! Sealed with it is everything that decides where it may go: the app, the server's variables and
//! the header or parameter it travels in. Whoever can write the database can therefore not send it
//! elsewhere.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use keystile_catalog::{AuthScheme, KeyPlace};
use keystile_domain::AppKey;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::connection::Scheme;

/// The longest part of a credential, bytes.
const MAX_LEN: usize = 8 << 10;

/// What a person gives to link an account.
#[derive(Debug)]
pub(crate) enum Given {
    Bearer(SecretString),
    ApiKey(SecretString),
    Basic { user: SecretString, password: SecretString },
}

/// A credential that cannot be taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) field: &'static str,
    pub(crate) problem: &'static str,
}

/// A credential and all that decides where it may go.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) app: AppKey,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) secret: Secret,
}

/// The secret and where it travels.
#[derive(Debug)]
pub(crate) enum Secret {
    Bearer(SecretString),
    Basic { user: SecretString, password: SecretString },
    Header { name: String, value: SecretString },
    Query { name: String, value: SecretString },
}

impl Given {
    /// Fits it to the first of the app's schemes that takes such a credential.
    pub(crate) fn fit(self, schemes: &[AuthScheme]) -> Result<Secret, Unfit> {
        let absent = |problem| Unfit { field: "credential", problem };
        match self {
            Self::Bearer(token) => {
                sendable("credential.bearer_token", &token)?;
                schemes
                    .iter()
                    .find(|scheme| matches!(scheme, AuthScheme::Bearer))
                    .map(|_| Secret::Bearer(token))
                    .ok_or(absent("this app takes no bearer token"))
            }
            Self::Basic { user, password } => {
                if !password.expose_secret().is_empty() {
                    plain("credential.basic.password", &password)?;
                }
                plain("credential.basic.username", &user)?;
                if user.expose_secret().contains(':') {
                    let problem = "must not contain a colon";
                    return Err(Unfit { field: "credential.basic.username", problem });
                }
                schemes
                    .iter()
                    .find(|scheme| matches!(scheme, AuthScheme::Basic))
                    .map(|_| Secret::Basic { user, password })
                    .ok_or(absent("this app takes no user and password"))
            }
            Self::ApiKey(value) => {
                let place = schemes.iter().find_map(|scheme| match scheme {
                    AuthScheme::ApiKey { place, name } => Some((*place, name.clone())),
                    AuthScheme::Fields(_)
                    | AuthScheme::Basic
                    | AuthScheme::Bearer
                    | AuthScheme::OAuth2(_)
                    | AuthScheme::OpenIdConnect(_) => None,
                });
                match place.ok_or(absent("this app takes no api key"))? {
                    (KeyPlace::Header, name) => {
                        sendable("credential.api_key", &value)?;
                        Ok(Secret::Header { name, value })
                    }
                    (KeyPlace::Query, name) => {
                        plain("credential.api_key", &value)?;
                        Ok(Secret::Query { name, value })
                    }
                }
            }
        }
    }
}

fn plain(field: &'static str, value: &SecretString) -> Result<(), Unfit> {
    let value = value.expose_secret();
    if value.is_empty() {
        return Err(Unfit { field, problem: "must not be empty" });
    }
    if value.len() > MAX_LEN {
        return Err(Unfit { field, problem: "must have at most 8192 bytes" });
    }
    if value.chars().any(char::is_control) {
        return Err(Unfit { field, problem: "must not contain control characters" });
    }
    Ok(())
}

fn sendable(field: &'static str, value: &SecretString) -> Result<(), Unfit> {
    plain(field, value)?;
    let text = value.expose_secret();
    if text.trim() != text || !text.is_ascii() || HeaderValue::from_str(text).is_err() {
        return Err(Unfit { field, problem: "must be ascii without spaces around it" });
    }
    Ok(())
}

/// The bytes are not a credential of this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The first byte of the encoding.
const FORMAT: u8 = 1;

impl Secret {
    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            Self::Bearer(_) => Scheme::Bearer,
            Self::Basic { .. } => Scheme::Basic,
            Self::Header { .. } | Self::Query { .. } => Scheme::ApiKey,
        }
    }

    /// A code and two parts, for the encoding.
    fn parts(&self) -> (u8, &str, &str) {
        match self {
            Self::Bearer(token) => (1, "", token.expose_secret()),
            Self::Basic { user, password } => (2, user.expose_secret(), password.expose_secret()),
            Self::Header { name, value } => (3, name, value.expose_secret()),
            Self::Query { name, value } => (4, name, value.expose_secret()),
        }
    }
}

impl Credential {
    /// The bytes to seal. Not JSON: its reader copies texts into buffers that nobody wipes.
    ///
    /// ```text
    /// format (1) ‖ kind (1) ‖ text app ‖ text first ‖ text second ‖ (text name ‖ text value)*
    /// text = length (4, big-endian) ‖ UTF-8
    /// ```
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (kind, first, second) = self.secret.parts();
        let variables = self.variables.iter().flat_map(|(name, value)| [&**name, &**value]);
        let texts: Vec<&str> =
            [self.app.as_str(), first, second].into_iter().chain(variables).collect();
        // Exact, so that growing leaves no copy behind.
        let length = 2 + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&[FORMAT, kind]);
        for text in texts {
            // Every part is bounded far below 2^32 bytes.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let [FORMAT, kind, rest @ ..] = bytes else {
            return Err(Malformed);
        };
        let mut rest = rest;
        let app = take(&mut rest)?.parse().map_err(|_| Malformed)?;
        let (first, second) = (take(&mut rest)?, take(&mut rest)?);
        let secret = match kind {
            1 => Secret::Bearer(second.into()),
            2 => Secret::Basic { user: first.into(), password: second.into() },
            3 => Secret::Header { name: first.to_owned(), value: second.into() },
            4 => Secret::Query { name: first.to_owned(), value: second.into() },
            _ => return Err(Malformed),
        };
        let mut variables = BTreeMap::new();
        while !rest.is_empty() {
            variables.insert(take(&mut rest)?.to_owned(), take(&mut rest)?.to_owned());
        }
        Ok(Self { app, variables, secret })
    }

    /// What egress puts on the request.
    pub(crate) fn into_injected(self) -> Result<keystile_egress::Credential, Malformed> {
        Ok(match self.secret {
            Secret::Bearer(token) => keystile_egress::Credential::Bearer(token),
            Secret::Basic { user, password } => {
                keystile_egress::Credential::Basic { user, password }
            }
            Secret::Header { name, value } => {
                let name = HeaderName::try_from(name).map_err(|_| Malformed)?;
                keystile_egress::Credential::Header { name, value }
            }
            Secret::Query { name, value } => keystile_egress::Credential::Query { name, value },
        })
    }
}

fn take<'b>(bytes: &mut &'b [u8]) -> Result<&'b str, Malformed> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(secret: Secret) -> Credential {
        let variables = BTreeMap::from([("shop".to_owned(), "tea".to_owned())]);
        Credential { app: "sandbox".parse().expect("an app"), variables, secret }
    }

    #[test]
    fn the_format_is_pinned() {
        let secret = Secret::Header { name: "x-key".into(), value: "s3".into() };
        let expected =
            b"\x01\x03\0\0\0\x07sandbox\0\0\0\x05x-key\0\0\0\x02s3\0\0\0\x04shop\0\0\0\x03tea";
        assert_eq!(&**credential(secret).encode(), expected);
    }

    #[test]
    fn every_kind_comes_back_and_no_prefix_does() {
        for secret in [
            Secret::Bearer("t".into()),
            Secret::Basic { user: "u".into(), password: "".into() },
            Secret::Header { name: "x-key".into(), value: "k".into() },
            Secret::Query { name: "key".into(), value: "k".into() },
        ] {
            let encoded = credential(secret).encode();
            let back = Credential::decode(&encoded).expect("its own encoding");
            assert_eq!(back.encode(), encoded);
            assert_eq!(back.variables["shop"], "tea");
            // Without its variables it is shorter and whole; every other prefix is nothing.
            let whole = encoded.len() - (4 + 4) - (4 + 3);
            for length in (0..encoded.len()).filter(|length| *length != whole) {
                assert!(Credential::decode(&encoded[..length]).is_err(), "{length}");
            }
        }
        assert!(Credential::decode(&[2, 1]).is_err());
    }

    #[test]
    fn only_a_kind_that_the_app_offers_is_taken() {
        let header = AuthScheme::ApiKey { place: KeyPlace::Header, name: "x-key".into() };
        assert!(Given::ApiKey("k".into()).fit(&[AuthScheme::Bearer, header.clone()]).is_ok());
        assert!(Given::Bearer("k".into()).fit(std::slice::from_ref(&header)).is_err());
        let basic = Given::Basic { user: "u".into(), password: "p".into() };
        assert!(basic.fit(&[header]).is_err());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is_stored() {
        let long = "x".repeat(8193);
        for token in ["", " a", "a\n", "a\r\nx: 1", "é", "a\0", long.as_str()] {
            let refused = Given::Bearer(token.into()).fit(&[AuthScheme::Bearer]);
            assert_eq!(refused.err().map(|unfit| unfit.field), Some("credential.bearer_token"));
        }
        for user in ["", "a:b", "a\n"] {
            let given = Given::Basic { user: user.into(), password: "p".into() };
            let refused = given.fit(&[AuthScheme::Basic]).err();
            assert_eq!(refused.map(|unfit| unfit.field), Some("credential.basic.username"));
        }
    }
}
