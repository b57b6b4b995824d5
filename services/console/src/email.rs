//! E-mail addresses, as far as a log-in name needs them.

use std::{fmt, str::FromStr};

/// The text cannot be an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an e-mail address such as ada@example.com")]
pub struct InvalidEmail;

/// An e-mail address in lower case, so that one mailbox is one user. What comes before the `@` is
/// case-sensitive by RFC 5321 and nowhere in practice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address, bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
    pub const MAX_LEN: usize = 254;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim_matches(' ').to_lowercase();
        let plain = |part: &str| {
            !part.is_empty()
                && !part.chars().any(|c| {
                    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | ',' | ';')
                })
        };
        let valid = text.len() <= Self::MAX_LEN
            && text.split_once('@').is_some_and(|(mailbox, domain)| {
                plain(mailbox) && plain(domain) && !domain.contains('@')
            });
        if valid { Ok(Self(text)) } else { Err(InvalidEmail) }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_is_one_address() {
        let email: Email = " Ada@Example.COM ".parse().expect("an address");
        assert_eq!(email.as_str(), "ada@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for text in ["", "ada", "@example.com", "ada@", "a@b@c", "a b@c", "a@<b>", "a@b\n", &long] {
            assert_eq!(text.parse::<Email>(), Err(InvalidEmail), "{text:?}");
        }
    }
}
