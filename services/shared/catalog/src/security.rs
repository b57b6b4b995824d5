//! How a connection proves itself to an app: `securitySchemes` and `security`.

mod oauth;

use std::collections::{BTreeMap, BTreeSet};

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
    /// Several such secrets, all of them together.
    Fields(Vec<Field>),
    /// User and password (RFC 7617).
    Basic,
    /// A token in `Authorization` (RFC 6750).
    Bearer,
    /// Tokens of an authorization server.
    OAuth2(Box<OAuth2>),
    /// Tokens of an authorization server that describes itself.
    OpenIdConnect(Box<OpenIdConnect>),
}

/// One secret of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What the document calls it.
    pub label: String,
    /// Header or query.
    pub place: KeyPlace,
    /// The header or parameter.
    pub name: String,
}

/// The schemes of a document by the names that its operations use.
#[derive(Debug, Default)]
pub(crate) struct Schemes {
    by_name: BTreeMap<String, AuthScheme>,
    /// The schemes that an operation takes alone.
    alone: BTreeSet<String>,
    /// The API keys that an operation takes together.
    together: BTreeSet<Vec<String>>,
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

    /// The ways to connect, once every `security` is read. A key that is only ever wanted with
    /// others is no way of its own.
    pub(crate) fn into_list(self) -> Vec<AuthScheme> {
        let mut together = Vec::new();
        let mut parts = BTreeSet::new();
        for names in &self.together {
            together.extend(self.fields(names).map(AuthScheme::Fields));
            parts.extend(names.iter().filter(|name| !self.alone.contains(*name)).cloned());
        }
        let alone = self.by_name.into_iter().filter(|(name, _)| !parts.contains(name));
        alone.map(|(_, scheme)| scheme).chain(together).collect()
    }

    /// The fields that the schemes of these names make, if all are API keys in places of their own.
    fn fields(&self, names: &[String]) -> Option<Vec<Field>> {
        let mut fields: Vec<Field> = Vec::new();
        for label in names {
            let Some(AuthScheme::ApiKey { place, name }) = self.by_name.get(label) else {
                return None;
            };
            if fields.iter().any(|known| same((known.place, &known.name), (*place, name))) {
                return None;
            }
            fields.push(Field { label: label.clone(), place: *place, name: name.clone() });
        }
        (fields.len() <= limits::FIELDS).then_some(fields)
    }

    /// Is this header or query parameter one that a credential travels in?
    pub(crate) fn injects(&self, place: KeyPlace, name: &str) -> bool {
        self.by_name.values().any(|scheme| scheme.injects(place, name))
    }

    /// The OAuth scopes that `security` (of an operation or of the document) asks for.
    ///
    /// # Errors
    /// A line, if no one connection can satisfy it.
    pub(crate) fn scopes(&mut self, security: &Node<'_>) -> Result<Vec<String>, Line> {
        let mut usable = security.items().next().is_none();
        let mut scopes: Option<Vec<String>> = None;
        for alternative in security.items() {
            let named: Vec<_> = alternative.members().collect();
            let [(name, asked)] = named.as_slice() else {
                let names = named.into_iter().map(|(name, _)| name.to_owned()).collect();
                usable |= self.takes_together(names);
                continue;
            };
            let Some(scheme) = self.by_name.get(*name) else { continue };
            usable = true;
            self.alone.insert((*name).to_owned());
            if matches!(scheme, AuthScheme::OAuth2(_) | AuthScheme::OpenIdConnect(_)) {
                let asked = asked
                    .items()
                    .filter_map(|scope| scope.value.as_str())
                    .filter(|scope| scope.len() <= limits::NAME_BYTES)
                    .take(limits::SCOPES);
                scopes.get_or_insert_with(|| asked.map(str::to_owned).collect());
            }
        }
        if usable {
            Ok(scopes.unwrap_or_default())
        } else {
            Err(security.line("no mapped security scheme suffices: left out"))
        }
    }

    /// Can one connection hold what the schemes of these names want together? None want nothing.
    fn takes_together(&mut self, names: Vec<String>) -> bool {
        if names.is_empty() || self.together.contains(&names) {
            return true;
        }
        let takes = self.together.len() < limits::COMBINATIONS && self.fields(&names).is_some();
        if takes {
            self.together.insert(names);
        }
        takes
    }
}

impl AuthScheme {
    /// Does the credential of this scheme travel in this header or query parameter?
    pub(crate) fn injects(&self, at: KeyPlace, name: &str) -> bool {
        match self {
            Self::ApiKey { place, name: own } => same((*place, own), (at, name)),
            Self::Fields(fields) => {
                fields.iter().any(|field| same((field.place, &field.name), (at, name)))
            }
            // RFC 6750 section 2.3: bearer tokens may travel in the query under this name.
            Self::Bearer | Self::OAuth2(_) | Self::OpenIdConnect(_) => {
                at == KeyPlace::Query && name == "access_token"
            }
            Self::Basic => false,
        }
    }
}

/// Is it one place? The names of headers have no case.
fn same(one: (KeyPlace, &str), other: (KeyPlace, &str)) -> bool {
    one.0 == other.0
        && match one.0 {
            KeyPlace::Header => one.1.eq_ignore_ascii_case(other.1),
            KeyPlace::Query => one.1 == other.1,
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
