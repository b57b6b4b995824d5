//! `x-keystile-oauth`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use crate::{limits, security::web_address};

/// How a provider speaks OAuth, where the standards leave a choice or it does not keep to them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dialect {
    /// Whose metadata tells what the document leaves out.
    pub issuer: Option<Issuer>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(deserialize_with = "address")]
    pub revocation_url: Option<Url>,
    /// What every authorization request also carries, [`limits::AUTHORIZE_PARAMETERS`] at most.
    /// None of them is one that the protocol sets.
    #[serde(deserialize_with = "authorize")]
    pub authorize: BTreeMap<String, String>,
    /// What stands between the scopes that are asked for. Answers may use the other one.
    pub scope_separator: ScopeSeparator,
    /// How the client proves itself to the token endpoint; if absent, as the metadata says, else
    /// [`ClientAuthentication::Basic`].
    pub client_authentication: Option<ClientAuthentication>,
    /// Does the provider take a code challenge (RFC 7636, S256)?
    pub pkce: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            issuer: None,
            revocation_url: None,
            authorize: BTreeMap::new(),
            scope_separator: ScopeSeparator::Space,
            client_authentication: None,
            pkce: true,
        }
    }
}

/// An authorization server (RFC 8414 section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// The text as it stands in the document: issuers are compared byte by byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // Parsers of addresses drop white space, which a comparison byte by byte would not.
        match web_address(&text) {
            Some(url)
                if url.query().is_none() && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(Self(text))
            }
            _ => Err(D::Error::custom("an issuer is a web address without a query")),
        }
    }
}

/// What stands between scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ScopeSeparator {
    /// As RFC 6749 section 3.3 has it.
    #[default]
    #[serde(rename = " ")]
    Space,
    /// As some providers have it.
    #[serde(rename = ",")]
    Comma,
}

impl ScopeSeparator {
    /// The character.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Space => " ",
            Self::Comma => ",",
        }
    }
}

/// How a client proves itself (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthentication {
    /// Id and secret in `Authorization`.
    Basic,
    /// Id and secret in the form.
    Post,
}

/// What the protocol sets in an authorization request, or would read in its place: RFC 6749, RFC
/// 7636, RFC 9101, `OpenID` Connect Core 1.0, OAuth 2.0 Multiple Response Types.
const RESERVED: [&str; 11] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Is this parameter of an authorization request not for documents to set?
pub(crate) fn reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(from)?;
    let url = web_address(&text);
    url.map(Some).ok_or_else(|| D::Error::custom("revocationUrl is not an absolute web address"))
}

fn authorize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let parameters = BTreeMap::<String, String>::deserialize(from)?;
    if parameters.len() > limits::AUTHORIZE_PARAMETERS {
        let problem = format!("authorize has more than {} names", limits::AUTHORIZE_PARAMETERS);
        return Err(D::Error::custom(problem));
    }
    for (name, value) in &parameters {
        if reserved(name) {
            return Err(D::Error::custom(format!("authorize may not set {name}")));
        }
        let length = name.len().max(value.len());
        if name.is_empty() || length > limits::NAME_BYTES {
            return Err(D::Error::custom("authorize has a name or a value of a wrong length"));
        }
    }
    Ok(parameters)
}
