//! How a connection proves itself to an app: `securitySchemes` and `security`.

mod oauth;

use std::collections::BTreeMap;

use url::Url;

pub use self::oauth::{AuthorizationCode, ClientCredentials, OAuth2, OpenIdConnect};
use crate::{
    extension, headers, limits,
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
    /// Tokens of an authorization server.
    OAuth2(Box<OAuth2>),
    /// Tokens of an authorization server that describes itself.
    OpenIdConnect(Box<OpenIdConnect>),
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
            let scheme = references.resolve(node).and_then(|node| scheme(&node, report));
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
                    Some(AuthScheme::OAuth2(_) | AuthScheme::OpenIdConnect(_)) => {
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
            Self::Bearer | Self::OAuth2(_) | Self::OpenIdConnect(_) => {
                at == KeyPlace::Query && name == "access_token"
            }
            Self::ApiKey { .. } | Self::Basic => false,
        }
    }
}

fn scheme(node: &Node<'_>, report: &mut Report) -> Result<AuthScheme, Line> {
    let kind = node.text("type").unwrap_or_default();
    for (name, extension) in node.members() {
        let own = name == extension::OAUTH && matches!(kind, "oauth2" | "openIdConnect");
        if name.starts_with("x-keystile-") && !own {
            report.add(extension.line("not known here"));
        }
    }
    match kind {
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
        "oauth2" => Ok(AuthScheme::OAuth2(Box::new(oauth::oauth2(node, report)?))),
        "openIdConnect" => Ok(AuthScheme::OpenIdConnect(Box::new(oauth::open_id_connect(node)?))),
        _ => Err(node.line("this type of security scheme is not mapped")),
    }
}

/// The web address in the member `name`.
fn web(node: &Node<'_>, name: &str) -> Result<Url, Line> {
    node.text(name)
        .and_then(web_address)
        .ok_or_else(|| node.line(format!("{name} is not an absolute web address")))
}

/// An absolute web address without a user or a fragment.
pub(crate) fn web_address(text: &str) -> Option<Url> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    (text.len() <= limits::ADDRESS_BYTES).then(|| Url::parse(text).ok())?.filter(fits)
}
