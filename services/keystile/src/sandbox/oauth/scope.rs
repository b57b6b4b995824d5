//! What a token may do.

use std::fmt;

/// One scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Scope {
    Read,
    Write,
}

impl Scope {
    pub(super) const ALL: [Self; 2] = [Self::Read, Self::Write];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "notes.read",
            Self::Write => "notes.write",
        }
    }

    /// What it allows, for whoever is asked for it.
    pub(super) const fn allows(self) -> &'static str {
        match self {
            Self::Read => "read your notes",
            Self::Write => "write and delete notes",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct Scopes {
    read: bool,
    write: bool,
}

impl Scopes {
    pub(in crate::sandbox) const ALL: Self = Self { read: true, write: true };

    /// Reads the parameter `scope` of RFC 6749 §3.3; `None` if a part is no scope of this server.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut scopes = Self { read: false, write: false };
        for part in text.split(' ') {
            match Scope::ALL.into_iter().find(|scope| scope.as_str() == part)? {
                Scope::Read => scopes.read = true,
                Scope::Write => scopes.write = true,
            }
        }
        Some(scopes)
    }

    pub(in crate::sandbox) const fn has(self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Write => self.write,
        }
    }

    pub(super) fn within(self, other: Self) -> bool {
        self.iter().all(|scope| other.has(scope))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_as_they_are_written_and_nothing_else_is_one() {
        for text in ["notes.read", "notes.write", "notes.read notes.write"] {
            assert_eq!(Scopes::parse(text).expect(text).to_string(), text);
        }
        let turned = Scopes::parse("notes.write notes.read notes.read").expect("a set");
        assert_eq!(turned, Scopes::ALL);
        for text in ["", "notes", "notes.read ", "notes.read  notes.write", "Notes.read"] {
            assert_eq!(Scopes::parse(text), None, "{text:?}");
        }
        let read = Scopes::parse("notes.read").expect("a scope");
        assert!(read.within(Scopes::ALL) && !Scopes::ALL.within(read));
    }
}
