//! How a connection proves itself to an app: `securitySchemes` and `security`.

use std::collections::BTreeMap;

use url::Url;

use crate::{
    headers, limits,
    reference::{Node, References},
    report::{Line, Report},
};

/// Where an API key travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// A request header.
    Header,
    /// A parameter of the query.
    Query,
}

/// One way to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthScheme {
    /// A secret in a named header or query parameter.
    ApiKey {
        /// Header or query.
        place: KeyPlace,
        /// The header or parameter.
        name: String,
    },
    /// User and password (RFC 7617).
    Basic,
    /// A token in `Authorization` (RFC 6750).
    Bearer,
    /// Authorization code grant (RFC 6749).
    OAuth2 {
        /// Where the person consents.
        authorization_url: Url,
        /// Where codes become tokens.
        token_url: Url,
        /// Where tokens are refreshed, if elsewhere.
        refresh_url: Option<Url>,
        /// Scopes and what they allow.
        scopes: BTreeMap<String, String>,
    },
    /// Discovery (`OpenID` Connect Discovery 1.0).
    OpenIdConnect {
        /// The discovery document.
        url: Url,
    },
}

/// The schemes of a document by the names that its operations use.
#[derive(Debug, Default)]
pub(crate) struct Schemes {
    by_name: BTreeMap<String, AuthScheme>,
    /// Does the document declare any, mapped or not?
    pub(crate) declared: bool,
}

impl Schemes {
    pub(crate) fn parse(root: &Node<'_>, references: References<'_>, report: &mut Report) -> Self {
        let all = root.child("components").and_then(|parts| parts.child("securitySchemes"));
        let mut schemes = Self::default();
        for (name, node) in all.iter().flat_map(Node::members) {
            schemes.declared = true;
            let node = Node { value: node.value, pointer: node.pointer };
            let scheme = references.resolve(node).and_then(|node| scheme(&node));
            if let Some(scheme) = report.keep(scheme) {
                schemes.by_name.insert(name.to_owned(), scheme);
            }
        }
        schemes
    }

    pub(crate) fn into_list(self) -> Vec<AuthScheme> {
        self.by_name.into_values().collect()
    }

    /// Is this header or query parameter one that a credential travels in?
    pub(crate) fn injects(&self, place: KeyPlace, name: &str) -> bool {
        self.by_name.values().any(|scheme| scheme.injects(place, name))
    }

    /// The OAuth scopes that `security` (of an operation or of the document) asks for.
    ///
    /// # Errors
    /// A line, if no one connection of a mapped scheme can satisfy it.
    pub(crate) fn scopes(&self, security: &Node<'_>) -> Result<Vec<String>, Line> {
        let mut usable = security.items().next().is_none();
        let mut scopes: Option<Vec<String>> = None;
        for alternative in security.items() {
            let names: Vec<_> = alternative.members().collect();
            match names.as_slice() {
                [] => usable = true,
                [(name, asked)] => match self.by_name.get(*name) {
                    Some(AuthScheme::OAuth2 { .. } | AuthScheme::OpenIdConnect { .. }) => {
                        usable = true;
                        let asked = asked
                            .items()
                            .filter_map(|scope| scope.value.as_str())
                            .filter(|scope| scope.len() <= limits::NAME_BYTES)
                            .take(limits::SCOPES);
                        scopes.get_or_insert_with(|| asked.map(str::to_owned).collect());
                    }
                    Some(AuthScheme::ApiKey { .. } | AuthScheme::Basic | AuthScheme::Bearer) => {
                        usable = true;
                    }
                    None => {}
                },
                // One connection holds one credential.
                _ => {}
            }
        }
        if usable {
            Ok(scopes.unwrap_or_default())
        } else {
            Err(security.line("no mapped security scheme suffices alone: left out"))
        }
    }
}

impl AuthScheme {
    /// Does the credential of this scheme travel in this header or query parameter?
    pub(crate) fn injects(&self, at: KeyPlace, name: &str) -> bool {
        match self {
            Self::ApiKey { place, name: own } if *place == at => match at {
                KeyPlace::Header => own.eq_ignore_ascii_case(name),
                KeyPlace::Query => own == name,
            },
            // RFC 6750 section 2.3: bearer tokens may travel in the query under this name.
            Self::Bearer | Self::OAuth2 { .. } | Self::OpenIdConnect { .. } => {
                at == KeyPlace::Query && name == "access_token"
            }
            Self::ApiKey { .. } | Self::Basic => false,
        }
    }
}

fn scheme(node: &Node<'_>) -> Result<AuthScheme, Line> {
    match node.text("type").unwrap_or_default() {
        "apiKey" => {
            let name = node.text("name").unwrap_or_default();
            let place = match node.text("in").unwrap_or_default() {
                "header" if headers::may_carry_key(name) => KeyPlace::Header,
                "header" => return Err(node.line("no key may travel in this header")),
                "query" if !name.is_empty() => KeyPlace::Query,
                _ => return Err(node.line("API keys in cookies are not mapped")),
            };
            Ok(AuthScheme::ApiKey { place, name: name.to_owned() })
        }
        "http" => match node.text("scheme").unwrap_or_default().to_ascii_lowercase().as_str() {
            "basic" => Ok(AuthScheme::Basic),
            "bearer" => Ok(AuthScheme::Bearer),
            _ => Err(node.line("only the HTTP schemes basic and bearer are mapped")),
        },
        "oauth2" => oauth2(node),
        "openIdConnect" => Ok(AuthScheme::OpenIdConnect { url: web(node, "openIdConnectUrl")? }),
        _ => Err(node.line("this type of security scheme is not mapped")),
    }
}

fn oauth2(node: &Node<'_>) -> Result<AuthScheme, Line> {
    let Some(flow) = node.child("flows").and_then(|flows| flows.child("authorizationCode")) else {
        return Err(node.line("only the authorization code flow is mapped"));
    };
    let scopes = flow.child("scopes");
    Ok(AuthScheme::OAuth2 {
        authorization_url: web(&flow, "authorizationUrl")?,
        token_url: web(&flow, "tokenUrl")?,
        refresh_url: flow.child("refreshUrl").map(|_| web(&flow, "refreshUrl")).transpose()?,
        scopes: scopes
            .iter()
            .flat_map(Node::members)
            .map(|(name, text)| {
                (name.to_owned(), text.value.as_str().unwrap_or_default().to_owned())
            })
            .collect(),
    })
}

/// An absolute web address without a user or a fragment.
fn web(node: &Node<'_>, name: &str) -> Result<Url, Line> {
    node.text(name)
        .and_then(|text| Url::parse(text).ok())
        .filter(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        })
        .ok_or_else(|| node.line(format!("{name} is not an absolute web address")))
}
