//! Names and descriptions that people type.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The text cannot be a name or description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than the field allows.
    #[error("must have at most {max} characters")]
    TooLong {
        /// Characters (Unicode scalar values) allowed.
        max: usize,
    },
    /// A control character, or one that reorders or hides text.
    #[error("must not contain control or direction-override characters")]
    Control,
    /// `<` or `>`. Pages escape them; what is pasted elsewhere may not.
    #[error("must not contain < or >")]
    Markup,
}

/// Characters that change how the text around them is shown: bidirectional overrides and isolates,
/// zero-width space, byte-order mark. Right-to-left scripts and joined emoji stay allowed.
fn misleads(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn check(text: &str, max: usize, lines: bool) -> Result<(), InvalidText> {
    if text.chars().count() > max {
        return Err(InvalidText::TooLong { max });
    }
    for c in text.chars() {
        if (c.is_control() && !(lines && c == '\n')) || misleads(c) {
            return Err(InvalidText::Control);
        }
        if matches!(c, '<' | '>') {
            return Err(InvalidText::Markup);
        }
    }
    Ok(())
}

/// What a person calls a thing: 1 to 200 characters, trimmed, no control characters, no markup.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// The longest name, characters.
    pub const MAX_LEN: usize = 200;

    /// Trims and checks `text`.
    ///
    /// # Errors
    /// [`InvalidText`] names the rule that is broken.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(InvalidText::Empty);
        }
        check(text, Self::MAX_LEN, false)?;
        if text.chars().all(char::is_whitespace) {
            return Err(InvalidText::Empty);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Free text about a thing: up to 1000 characters, line breaks allowed, may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Description(String);

impl Description {
    /// The longest description, characters.
    pub const MAX_LEN: usize = 1000;

    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidText`] names the rule that is broken.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        check(text, Self::MAX_LEN, true)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Description {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_by_the_rule_it_breaks() {
        let long = "n".repeat(201);
        for (text, expected) in [
            ("", InvalidText::Empty),
            ("   ", InvalidText::Empty),
            ("\u{3000}", InvalidText::Empty),
            (long.as_str(), InvalidText::TooLong { max: 200 }),
            ("a\nb", InvalidText::Control),
            ("a\0b", InvalidText::Control),
            ("a\u{202e}b", InvalidText::Control),
            ("<script>", InvalidText::Markup),
        ] {
            assert_eq!(Name::new(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn names_of_people_and_edge_length_are_kept() {
        for text in ["prod-main-app", "مفتاح", "clé 🔑", "👩‍💻 dev", &"n".repeat(200)]
        {
            assert_eq!(Name::new(text).map(|name| name.as_str().to_owned()), Ok(text.to_owned()));
        }
        assert_eq!(Name::new("  padded ").expect("valid").as_str(), "padded");
        assert!(Description::new(&"d".repeat(1000)).is_ok());
        assert!(Description::new(&"d".repeat(1001)).is_err());
    }
}
