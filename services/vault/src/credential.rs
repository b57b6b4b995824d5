//! A credential: what a person gives or a provider issues, what is sealed, what egress injects.
//!
//! Sealed with it is everything that decides where it may go: the app, its origin, the server's
//! variables, the header or parameter it travels in, the integration whose provider issued it. Whoever can write
//! the database can therefore not send it elsewhere.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use keystile_catalog::{AuthScheme, Field, KeyPlace};
use keystile_domain::{AppKey, IntegrationId};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    connection::Scheme,
    texts::{self, Malformed, Texts},
};

/// The longest part of a credential, bytes.
const MAX_LEN: usize = 8 << 10;

/// What a person gives to link an account.
#[derive(Debug)]
pub(crate) enum Given {
    Bearer(SecretString),
    ApiKey(SecretString),
    Basic {
        user: SecretString,
        password: SecretString,
    },
    /// By the names that the document gives them.
    Fields(BTreeMap<String, SecretString>),
}

/// A credential that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) field: String,
    pub(crate) problem: &'static str,
}

/// A credential and all that decides where it may go.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) app: AppKey,
    /// Where the app was when it was given, as scheme, host and port: it goes nowhere else, whatever
    /// the app's document says by then. Absent for apps that Keystile ships.
    pub(crate) origin: Option<String>,
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
    Fields(Vec<Placed>),
    OAuth2(Tokens),
}

/// A secret in a place of its own.
#[derive(Debug)]
pub(crate) struct Placed {
    place: KeyPlace,
    name: String,
    value: SecretString,
}

/// What the provider of an integration issued.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Whose provider: nobody else is shown the refresh token.
    pub(crate) integration: IntegrationId,
    /// Goes to the app.
    pub(crate) access: SecretString,
    /// Goes to the provider's token endpoint, once.
    pub(crate) refresh: Option<SecretString>,
}

impl Given {
    /// Fits it to the first of the app's schemes that takes such a credential.
    pub(crate) fn fit(self, schemes: &[AuthScheme]) -> Result<Secret, Unfit> {
        let absent = |problem| Unfit { field: "credential".to_owned(), problem };
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
                    return Err(Unfit { field: "credential.basic.username".to_owned(), problem });
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
            Self::Fields(values) => {
                let fields = schemes.iter().find_map(|scheme| match scheme {
                    AuthScheme::Fields(fields) => Some(fields),
                    AuthScheme::ApiKey { .. }
                    | AuthScheme::Basic
                    | AuthScheme::Bearer
                    | AuthScheme::OAuth2(_)
                    | AuthScheme::OpenIdConnect(_) => None,
                });
                let fields = fields.ok_or(absent("this app takes no set of fields"))?;
                placed(fields, values).map(Secret::Fields)
            }
        }
    }
}

/// A value for each of the app's fields, and no other.
fn placed(
    fields: &[Field],
    mut values: BTreeMap<String, SecretString>,
) -> Result<Vec<Placed>, Unfit> {
    let at = |label: &str| format!("credential.fields.{label}");
    let mut placed = Vec::with_capacity(fields.len());
    for field in fields {
        let value = values
            .remove(&field.label)
            .ok_or_else(|| Unfit { field: at(&field.label), problem: "is required" })?;
        match field.place {
            KeyPlace::Header => sendable(&at(&field.label), &value)?,
            KeyPlace::Query => plain(&at(&field.label), &value)?,
        }
        placed.push(Placed { place: field.place, name: field.name.clone(), value });
    }
    match values.keys().next() {
        None => Ok(placed),
        Some(label) => Err(Unfit { field: at(label), problem: "is not a field of this app" }),
    }
}

fn plain(field: &str, value: &SecretString) -> Result<(), Unfit> {
    let unfit = |problem| Err(Unfit { field: field.to_owned(), problem });
    let value = value.expose_secret();
    if value.is_empty() {
        return unfit("must not be empty");
    }
    if value.len() > MAX_LEN {
        return unfit("must have at most 8192 bytes");
    }
    if value.chars().any(char::is_control) {
        return unfit("must not contain control characters");
    }
    Ok(())
}

/// Can it travel in a header?
pub(crate) fn sendable(field: &str, value: &SecretString) -> Result<(), Unfit> {
    plain(field, value)?;
    let text = value.expose_secret();
    if text.trim() != text || !text.is_ascii() || HeaderValue::from_str(text).is_err() {
        let problem = "must be ascii without spaces around it";
        return Err(Unfit { field: field.to_owned(), problem });
    }
    Ok(())
}

impl Secret {
    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            Self::Bearer(_) => Scheme::Bearer,
            Self::Basic { .. } => Scheme::Basic,
            Self::Header { .. } | Self::Query { .. } => Scheme::ApiKey,
            Self::Fields(_) => Scheme::Fields,
            Self::OAuth2(_) => Scheme::OAuth2,
        }
    }
}

const fn place_code(place: KeyPlace) -> &'static str {
    match place {
        KeyPlace::Header => "header",
        KeyPlace::Query => "query",
    }
}

impl Credential {
    /// The bytes to seal.
    ///
    /// ```text
    /// kind 1 bearer    app ‖ "" ‖ token
    ///      2 basic     app ‖ user ‖ password
    ///      3 header    app ‖ name ‖ value
    ///      4 query     app ‖ name ‖ value
    ///      5 oauth2    app ‖ integration ‖ access token ‖ refresh token, or ""
    ///      6 fields    app ‖ count ‖ ("header" or "query" ‖ name ‖ value)*
    ///                  each followed by "" ‖ origin, if there is one, and (variable's name ‖ value)*
    /// ```
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let app = self.app.as_str();
        let number: String;
        let (kind, mut parts) = match &self.secret {
            Secret::Bearer(token) => (1, vec![app, "", token.expose_secret()]),
            Secret::Basic { user, password } => {
                (2, vec![app, user.expose_secret(), password.expose_secret()])
            }
            Secret::Header { name, value } => (3, vec![app, name, value.expose_secret()]),
            Secret::Query { name, value } => (4, vec![app, name, value.expose_secret()]),
            Secret::OAuth2(tokens) => {
                number = tokens.integration.to_string();
                let refresh = tokens.refresh.as_ref().map(ExposeSecret::expose_secret);
                let refresh = refresh.unwrap_or_default();
                (5, vec![app, number.as_str(), tokens.access.expose_secret(), refresh])
            }
            Secret::Fields(fields) => {
                number = fields.len().to_string();
                let parts = fields.iter().flat_map(|field| {
                    [place_code(field.place), &field.name, field.value.expose_secret()]
                });
                (6, [app, number.as_str()].into_iter().chain(parts).collect())
            }
        };
        parts.extend(self.origin.iter().flat_map(|origin| ["", origin.as_str()]));
        parts.extend(self.variables.iter().flat_map(|(name, value)| [&**name, &**value]));
        texts::encode(kind, &parts)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut texts) = Texts::read(bytes)?;
        let app = texts.take()?.parse().map_err(|_| Malformed)?;
        let first = texts.take()?;
        let secret = match kind {
            1 => Secret::Bearer(texts.take()?.into()),
            2 => Secret::Basic { user: first.into(), password: texts.take()?.into() },
            3 => Secret::Header { name: first.to_owned(), value: texts.take()?.into() },
            4 => Secret::Query { name: first.to_owned(), value: texts.take()?.into() },
            5 => Secret::OAuth2(Tokens {
                integration: first.parse().map_err(|_| Malformed)?,
                access: texts.take()?.into(),
                refresh: Some(texts.take()?).filter(|text| !text.is_empty()).map(Into::into),
            }),
            6 => {
                let count: usize = first.parse().map_err(|_| Malformed)?;
                let fields = (0..count).map(|_| {
                    let place = match texts.take()? {
                        "header" => KeyPlace::Header,
                        "query" => KeyPlace::Query,
                        _ => return Err(Malformed),
                    };
                    let name = texts.take()?.to_owned();
                    Ok(Placed { place, name, value: texts.take()?.into() })
                });
                Secret::Fields(fields.collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed),
        };
        let mut variables = BTreeMap::new();
        while !texts.is_empty() {
            variables.insert(texts.take()?.to_owned(), texts.take()?.to_owned());
        }
        // No variable is called so.
        let origin = variables.remove("");
        Ok(Self { app, origin, variables, secret })
    }

    /// What egress puts on the request.
    pub(crate) fn into_injected(self) -> Result<keystile_egress::Credential, Malformed> {
        use keystile_egress::Credential as Injected;
        let at = |place, name: String, value| match place {
            KeyPlace::Header => HeaderName::try_from(name)
                .map(|name| Injected::Header { name, value })
                .map_err(|_| Malformed),
            KeyPlace::Query => Ok(Injected::Query { name, value }),
        };
        match self.secret {
            Secret::Bearer(token) => Ok(Injected::Bearer(token)),
            Secret::Basic { user, password } => Ok(Injected::Basic { user, password }),
            Secret::Header { name, value } => at(KeyPlace::Header, name, value),
            Secret::Query { name, value } => at(KeyPlace::Query, name, value),
            Secret::Fields(fields) => {
                let all = fields.into_iter().map(|field| at(field.place, field.name, field.value));
                Ok(Injected::All(all.collect::<Result<_, _>>()?))
            }
            Secret::OAuth2(tokens) => Ok(Injected::Bearer(tokens.access)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(secret: Secret) -> Credential {
        let variables = BTreeMap::from([("shop".to_owned(), "tea".to_owned())]);
        Credential { app: "sandbox".parse().expect("an app"), origin: None, variables, secret }
    }

    fn tokens(refresh: Option<&str>) -> Tokens {
        Tokens {
            integration: IntegrationId::from_uuid(uuid::Uuid::from_u128(1)),
            access: "a".into(),
            refresh: refresh.map(Into::into),
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let secret = Secret::Header { name: "x-key".into(), value: "s3".into() };
        let expected =
            b"\x01\x03\0\0\0\x07sandbox\0\0\0\x05x-key\0\0\0\x02s3\0\0\0\x04shop\0\0\0\x03tea";
        assert_eq!(&**credential(secret).encode(), expected);
    }

    #[test]
    fn an_origin_comes_back() {
        let origin = Some("https://tea.example.com".to_owned());
        let sealed =
            Credential { origin: origin.clone(), ..credential(Secret::Bearer("t".into())) };
        let back = Credential::decode(&sealed.encode()).expect("its own encoding");
        assert_eq!((back.origin, back.variables.len()), (origin, 1));
    }

    #[test]
    fn every_kind_comes_back_and_no_prefix_does() {
        for secret in [
            Secret::Bearer("t".into()),
            Secret::Basic { user: "u".into(), password: "".into() },
            Secret::Header { name: "x-key".into(), value: "k".into() },
            Secret::Query { name: "key".into(), value: "k".into() },
            Secret::OAuth2(tokens(Some("r"))),
            Secret::OAuth2(tokens(None)),
            Secret::Fields(vec![
                Placed { place: KeyPlace::Header, name: "x-a".into(), value: "1".into() },
                Placed { place: KeyPlace::Query, name: "b".into(), value: "2".into() },
            ]),
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
    fn a_set_of_fields_is_taken_whole_or_not_at_all() {
        let field = |label: &str, place| Field { label: label.into(), place, name: label.into() };
        let scheme = AuthScheme::Fields(vec![
            field("key", KeyPlace::Header),
            field("site", KeyPlace::Query),
        ]);
        let given = |labels: &[&str]| {
            let values = labels.iter().map(|label| ((*label).to_owned(), "v".into()));
            Given::Fields(values.collect()).fit(std::slice::from_ref(&scheme))
        };
        assert!(given(&["key", "site"]).is_ok());
        let field = |labels| given(labels).expect_err("unfit").field;
        assert_eq!(field(&["key"]), "credential.fields.site");
        assert_eq!(field(&["key", "site", "x"]), "credential.fields.x");
        assert!(Given::Fields(BTreeMap::new()).fit(&[AuthScheme::Bearer]).is_err());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is_stored() {
        let long = "x".repeat(8193);
        for token in ["", " a", "a\n", "a\r\nx: 1", "é", "a\0", long.as_str()] {
            let refused = Given::Bearer(token.into()).fit(&[AuthScheme::Bearer]);
            assert_eq!(refused.expect_err("unfit").field, "credential.bearer_token");
        }
        for user in ["", "a:b", "a\n"] {
            let given = Given::Basic { user: user.into(), password: "p".into() };
            let refused = given.fit(&[AuthScheme::Basic]).err();
            assert_eq!(refused.expect("unfit").field, "credential.basic.username");
        }
    }
}
