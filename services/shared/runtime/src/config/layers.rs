//! Values from several places over one another, each remembering where it came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use zeroize::Zeroize as _;

/// Where a value was written.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
            Self::Flag(name) => write!(f, "from {name}"),
        }
    }
}

/// A value, or what is below a name.
pub(super) enum Node {
    Section(BTreeMap<String, Node>),
    List(Vec<Node>, Origin),
    /// As the file has it: a string, number, switch or date.
    Typed(toml::Value, Origin),
    /// As a variable or flag has it: text for whatever the field is.
    Text(String, Origin),
}

impl Default for Node {
    fn default() -> Self {
        Self::Section(BTreeMap::new())
    }
}

/// What was read for secrets leaves nothing behind.
impl Drop for Node {
    fn drop(&mut self) {
        match self {
            Self::Typed(toml::Value::String(text), _) | Self::Text(text, _) => text.zeroize(),
            Self::Typed(..) | Self::List(..) | Self::Section(_) => {}
        }
    }
}

impl Node {
    pub(super) fn of(value: toml::Value, origin: &Origin) -> Self {
        match value {
            toml::Value::Table(table) => Self::Section(
                table.into_iter().map(|(name, value)| (name, Self::of(value, origin))).collect(),
            ),
            toml::Value::Array(items) => {
                let items = items.into_iter().map(|item| Self::of(item, origin));
                Self::List(items.collect(), origin.clone())
            }
            scalar => Self::Typed(scalar, origin.clone()),
        }
    }

    /// Writes `text` at `path`, over whatever is there.
    pub(super) fn set(&mut self, path: &[String], text: String, origin: &Origin) {
        let Some((name, rest)) = path.split_first() else {
            *self = Self::Text(text, origin.clone());
            return;
        };
        if !matches!(self, Self::Section(_)) {
            *self = Self::default();
        }
        if let Self::Section(members) = self {
            members.entry(name.clone()).or_default().set(rest, text, origin);
        }
    }

    /// Where this was written; of a section, where its first value was.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Section(members) => members.values().find_map(Self::origin),
            Self::List(_, origin) | Self::Typed(_, origin) | Self::Text(_, origin) => Some(origin),
        }
    }
}
