//! Apps and their components, named by a closed grammar.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not an app key or component id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseComponentError {
    /// Not `[a-z0-9]+(-[a-z0-9]+)*` of at most [`AppKey::MAX_LEN`] bytes.
    #[error("an app key has 1 to 40 characters a-z, 0-9 and single hyphens between them")]
    AppKey,
    /// Not `action.<app>.<name>` or `trigger.<app>.<name>`.
    #[error("a component id reads action.<app>.<name> or trigger.<app>.<name>")]
    ComponentId,
}

/// Is `text` made of `[a-z0-9]+` words joined by single hyphens, `max` bytes at most?
fn is_slug(text: &str, max: usize) -> bool {
    text.len() <= max
        && text.split('-').all(|word| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

/// The key of an app in the catalog, for example `gmail`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey(Box<str>);

impl AppKey {
    /// The longest app key, bytes.
    pub const MAX_LEN: usize = 40;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppKey {
    type Err = ParseComponentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_slug(text, Self::MAX_LEN) {
            Ok(Self(text.into()))
        } else {
            Err(ParseComponentError::AppKey)
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(AppKey);

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// Something a key may run.
    Action,
    /// Something that delivers events.
    Trigger,
}

impl ComponentKind {
    /// The first word of a component id.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Trigger => "trigger",
        }
    }
}

/// One action or trigger of an app: `action.gmail.send-email`.
///
/// Holds its text once; the parts are slices of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(Box<str>);

impl ComponentId {
    /// The longest name behind the app, bytes.
    pub const MAX_NAME_LEN: usize = 100;

    /// Joins the parts.
    ///
    /// # Errors
    /// [`ParseComponentError::ComponentId`] if `name` breaks the grammar.
    pub fn new(kind: ComponentKind, app: &AppKey, name: &str) -> Result<Self, ParseComponentError> {
        format!("{}.{app}.{name}", kind.as_str()).parse()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Action or trigger.
    #[must_use]
    pub fn kind(&self) -> ComponentKind {
        if self.0.starts_with("action.") { ComponentKind::Action } else { ComponentKind::Trigger }
    }

    fn parts(&self) -> (&str, &str) {
        let (_, rest) = self.0.split_once('.').unwrap_or_default();
        rest.split_once('.').unwrap_or_default()
    }

    /// The app's key, as text.
    #[must_use]
    pub fn app(&self) -> &str {
        self.parts().0
    }

    /// The app's key.
    #[must_use]
    pub fn app_key(&self) -> AppKey {
        AppKey(self.app().into())
    }

    /// The name behind the app.
    #[must_use]
    pub fn name(&self) -> &str {
        self.parts().1
    }
}

impl FromStr for ComponentId {
    type Err = ParseComponentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let valid = matches!(parts.next(), Some("action" | "trigger"))
            && parts.next().is_some_and(|app| is_slug(app, AppKey::MAX_LEN))
            && parts.next().is_some_and(|name| is_slug(name, Self::MAX_NAME_LEN));
        if valid { Ok(Self(text.into())) } else { Err(ParseComponentError::ComponentId) }
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_serde!(ComponentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_id_gives_back_its_parts() {
        let id: ComponentId = "action.google-sheets.append-row-2".parse().expect("valid");
        assert_eq!(id.kind(), ComponentKind::Action);
        assert_eq!(id.app(), "google-sheets");
        assert_eq!(id.name(), "append-row-2");
        assert_eq!(ComponentId::new(id.kind(), &id.app_key(), id.name()), Ok(id));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        let long = format!("action.gmail.{}", "a".repeat(101));
        for text in [
            "",
            "action",
            "action.gmail",
            "action.gmail.",
            "action..send",
            "event.gmail.send",
            "Action.gmail.send",
            "action.Gmail.send",
            "action.gmail.send_email",
            "action.gmail.-send",
            "action.gmail.send-",
            "action.gmail.a--b",
            "action.gmail.a.b",
            "action.gmail.a/b",
            "action.gmail.%2e",
            "action.gmail.a\0",
            "action.gmail.sеnd",
            "action.gmail.send ",
            "action.gma il.send",
            &long,
        ] {
            assert!(text.parse::<ComponentId>().is_err(), "{text:?}");
        }
        assert!(format!("action.gmail.{}", "a".repeat(100)).parse::<ComponentId>().is_ok());
        assert!("a".repeat(40).parse::<AppKey>().is_ok());
        assert!("a".repeat(41).parse::<AppKey>().is_err());
    }
}
