//! Where an app lives: the template of its base URL, and what may be filled into it.
//!
//! A variable without a list of choices takes one DNS label, and the host must end in two literal
//! labels behind it (`{shop}.example.com`), so that whoever connects an account can choose a
//! tenant of the app but never another host.

use std::collections::BTreeMap;

use url::Url;

use crate::{error::Error, limits, reference::Node, report::Line};

/// One variable of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// The allowed values; empty: one DNS label.
    pub choices: Vec<String>,
    /// Used when the connection gives none.
    pub default: Option<String>,
}

/// The base URL of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    template: String,
    variables: Vec<Variable>,
}

impl Server {
    /// The template as the document gives it.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The variables in the order of their names.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    pub(crate) fn parse(node: &Node<'_>) -> Result<Self, Line> {
        let template = node.text("url").unwrap_or_default();
        if template.len() > limits::NAME_BYTES {
            return Err(node.line("the address is too long"));
        }
        let declared = node.child("variables");
        let mut variables = Vec::new();
        for name in names(template).ok_or_else(|| node.line("the braces do not match"))? {
            if variables.iter().any(|known: &Variable| known.name == name) {
                continue;
            }
            let Some(variable) = declared.as_ref().and_then(|all| all.child(name)) else {
                return Err(node.line(format!("the variable {name} is not declared")));
            };
            variables.push(parse_variable(name, &variable)?);
        }
        variables.sort_by(|a, b| a.name.cmp(&b.name));
        let server = Self { template: template.to_owned(), variables };
        server.bounded().map_err(|problem| node.line(problem))?;
        Ok(server)
    }

    /// Does every choice lead to a host that the document names?
    fn bounded(&self) -> Result<(), &'static str> {
        let free = |name: &str| {
            self.variables.iter().any(|known| known.name == name && known.choices.is_empty())
        };
        let Some((scheme, rest)) = self.template.split_once("://") else {
            return Err("not an absolute web address");
        };
        if names(scheme).is_none_or(|all| all.into_iter().any(free)) {
            return Err("the scheme must be written out");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("a server address carries no user");
        }
        let last_free = names(authority)
            .ok_or("the braces do not match")?
            .into_iter()
            .rev()
            .find(|name| free(name));
        if let Some(name) = last_free {
            let token = format!("{{{name}}}");
            let suffix = authority.rsplit(&token).next().unwrap_or_default();
            let host = suffix.split(':').next().unwrap_or_default();
            let literal = host.strip_prefix('.').is_some_and(|labels| {
                labels.split('.').count() >= 2 && labels.split('.').all(is_label)
            });
            if !literal {
                return Err("a variable without choices must be followed by the app's own domain");
            }
        }
        // The first choices, or any label, stand for the rest: each is checked when it is filled.
        let sample = |variable: &Variable| {
            variable.choices.first().cloned().unwrap_or_else(|| "label".to_owned())
        };
        let values =
            self.variables.iter().map(|known| (known.name.clone(), sample(known))).collect();
        self.fill(&values).map(drop).map_err(|_| "not an absolute web address")
    }

    /// The base URL with `values` filled in, defaults where one is absent.
    ///
    /// # Errors
    /// [`Error::Variable`] names the variable that is unknown, missing or breaks its rule.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<Url, Error> {
        let fault = |name: &str, problem| Error::Variable { name: name.to_owned(), problem };
        for name in values.keys() {
            if self.variables.iter().all(|known| known.name != *name) {
                return Err(fault(name, "is not a variable of this app"));
            }
        }
        let mut text = self.template.clone();
        for variable in &self.variables {
            let value = values
                .get(&variable.name)
                .or(variable.default.as_ref())
                .ok_or_else(|| fault(&variable.name, "is required"))?;
            if variable.choices.is_empty() && !is_label(value) {
                return Err(fault(&variable.name, "must be one DNS label"));
            }
            if !variable.choices.is_empty() && !variable.choices.contains(value) {
                return Err(fault(&variable.name, "must be one of its choices"));
            }
            text = text.replace(&format!("{{{}}}", variable.name), value);
        }
        Url::parse(&text).ok().filter(is_base).ok_or(Error::NoServer)
    }
}

/// An absolute web address that paths can be put behind.
pub(crate) fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// The names in braces, in order.
pub(crate) fn names(template: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let inside = rest[open..].strip_prefix('{')?;
        let close = inside.find(['{', '}'])?;
        let (name, after) = inside.split_at(close);
        rest = after.strip_prefix('}')?;
        if name.is_empty() {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn parse_variable(name: &str, node: &Node<'_>) -> Result<Variable, Line> {
    let choices: Vec<String> = node
        .child("enum")
        .iter()
        .flat_map(Node::items)
        .filter_map(|choice| choice.value.as_str().map(str::to_owned))
        .collect();
    if node.child("enum").is_some() && choices.is_empty() {
        return Err(node.line("an enum needs at least one text"));
    }
    let default = node
        .text("default")
        .map(str::to_owned)
        .filter(|value| if choices.is_empty() { is_label(value) } else { choices.contains(value) });
    let description = node.text("description").unwrap_or_default().to_owned();
    Ok(Variable { name: name.to_owned(), description, choices, default })
}

/// One label of a host name (RFC 1123).
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
