//! `oauth2` and `openIdConnect`.

use std::collections::BTreeMap;

use url::Url;

use super::web;
use crate::{
    extension::{self, Dialect},
    limits,
    reference::Node,
    report::{Line, Report},
    text,
};

/// An authorization server and what it grants (RFC 6749). At least one of the grants is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// For a person who consents (section 4.1).
    pub authorization_code: Option<AuthorizationCode>,
    /// For the client itself (section 4.4).
    pub client_credentials: Option<ClientCredentials>,
    /// What OpenAPI has no words for.
    pub dialect: Dialect,
}

impl OAuth2 {
    /// The scopes of all grants and what they allow.
    pub fn scopes(&self) -> BTreeMap<&str, &str> {
        let code = self.authorization_code.iter().flat_map(|grant| &grant.scopes);
        let client = self.client_credentials.iter().flat_map(|grant| &grant.scopes);
        client.chain(code).map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }
}

/// The authorization code grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// Where the person consents. It may have a query; no name of it is one that the protocol or
    /// [`Dialect::authorize`] sets.
    pub authorization_url: Url,
    /// Where codes become tokens.
    pub token_url: Url,
    /// Where tokens are refreshed, if elsewhere.
    pub refresh_url: Option<Url>,
    /// Scopes and what they allow.
    pub scopes: BTreeMap<String, String>,
}

/// The client credentials grant. Nothing is refreshed: the client asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where the client's credentials become tokens.
    pub token_url: Url,
    /// Scopes and what they allow.
    pub scopes: BTreeMap<String, String>,
}

/// An authorization server that describes itself (`OpenID` Connect Discovery 1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIdConnect {
    /// The discovery document.
    pub url: Url,
    /// What OpenAPI has no words for.
    pub dialect: Dialect,
}

pub(super) fn oauth2(node: &Node<'_>, report: &mut Report) -> Result<OAuth2, Line> {
    let flows = node.child("flows");
    let flow = |name| flows.as_ref().and_then(|flows| flows.child(name));
    let (code, client) = (flow("authorizationCode"), flow("clientCredentials"));
    if code.is_none() && client.is_none() {
        return Err(node.line("only the flows authorizationCode and clientCredentials are mapped"));
    }
    let dialect = dialect(node)?;
    let client = client.map(|flow| {
        Ok(ClientCredentials { token_url: web(&flow, "tokenUrl")?, scopes: scopes(&flow, report) })
    });
    Ok(OAuth2 {
        client_credentials: client.transpose()?,
        authorization_code: code
            .map(|flow| authorization_code(&flow, &dialect, report))
            .transpose()?,
        dialect,
    })
}

pub(super) fn open_id_connect(node: &Node<'_>) -> Result<OpenIdConnect, Line> {
    Ok(OpenIdConnect { url: web(node, "openIdConnectUrl")?, dialect: dialect(node)? })
}

/// A scheme whose extension cannot be read is left out: with defaults in its place it would
/// connect in another way than its document says.
fn dialect(scheme: &Node<'_>) -> Result<Dialect, Line> {
    scheme
        .child(extension::OAUTH)
        .map_or_else(|| Ok(Dialect::default()), |node| extension::read(&node))
}

fn authorization_code(
    flow: &Node<'_>,
    dialect: &Dialect,
    report: &mut Report,
) -> Result<AuthorizationCode, Line> {
    let authorization_url = web(flow, "authorizationUrl")?;
    for (name, _) in authorization_url.query_pairs() {
        if extension::reserved(&name) || dialect.authorize.contains_key(&*name) {
            let problem = "the query of authorizationUrl has a name that is set otherwise";
            return Err(flow.line(problem));
        }
    }
    Ok(AuthorizationCode {
        authorization_url,
        token_url: web(flow, "tokenUrl")?,
        refresh_url: flow.child("refreshUrl").map(|_| web(flow, "refreshUrl")).transpose()?,
        scopes: scopes(flow, report),
    })
}

fn scopes(flow: &Node<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut scopes = BTreeMap::new();
    let declared = flow.child("scopes");
    for (name, node) in declared.iter().flat_map(Node::members) {
        if !is_scope(name) {
            report.add(node.line("not a scope: left out"));
            continue;
        }
        if scopes.len() == limits::DECLARED_SCOPES {
            let problem = format!("more than {} scopes: left out", limits::DECLARED_SCOPES);
            report.add(flow.line(problem));
            break;
        }
        let words = text::description(node.value.as_str().unwrap_or_default());
        scopes.insert(name.to_owned(), words);
    }
    scopes
}

/// RFC 6749 section 3.3, without the comma that some providers write between scopes.
fn is_scope(name: &str) -> bool {
    (1..=limits::NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte))
}
