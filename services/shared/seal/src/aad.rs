//! What a ciphertext is bound to, so that moving it to another place makes it unreadable.

use keystile_domain::TeamId;

use crate::{data_key::DataKeyId, error::Error};

/// The version of every format of this crate; the first byte of sealed, wrapped and bound bytes.
pub(crate) const FORMAT: u8 = 1;

/// What a sealed value is for: a short label, fixed in the source of whoever seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Purpose(&'static str);

impl Purpose {
    /// The purpose with this label, for a `const`.
    ///
    /// # Panics
    /// If the label is empty, longer than 64 bytes, or has anything but `a-z`, `0-9`, `-`: while
    /// compiling, when used for a `const`.
    #[must_use]
    pub const fn new(label: &'static str) -> Self {
        let bytes = label.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 64, "a purpose has 1 to 64 characters");
        let mut place = 0;
        while place < bytes.len() {
            assert!(
                matches!(bytes[place], b'a'..=b'z' | b'0'..=b'9' | b'-'),
                "a purpose has a-z, 0-9 and - only"
            );
            place += 1;
        }
        Self(label)
    }

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The place that a sealed value belongs to. It opens only under the same four facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aad<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub team: TeamId,
    /// The id of the row that holds it.
    pub row: &'a str,
    /// The version of that row, so that an older value cannot be put back.
    pub version: u64,
}

impl Aad<'_> {
    /// The bytes that AES-GCM authenticates beside the ciphertext. Integers are big-endian; what
    /// varies in length has its length before it, so that no two places encode alike.
    ///
    /// ```text
    /// format (1) ‖ len (4) purpose ‖ team (16) ‖ len (4) row ‖ version (8) ‖ data key id (16)
    /// ```
    pub(crate) fn encode(&self, key: DataKeyId) -> Result<Vec<u8>, Error> {
        let mut out = vec![FORMAT];
        lengthened(&mut out, self.purpose.0)?;
        out.extend_from_slice(self.team.as_uuid().as_bytes());
        lengthened(&mut out, self.row)?;
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(key.as_uuid().as_bytes());
        Ok(out)
    }
}

fn lengthened(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let length = u32::try_from(text.len()).map_err(|_| Error::TooLarge)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn no_two_places_encode_alike() {
        let team = fixture::team(1);
        let key = fixture::data_key(1).id();
        let encode = |purpose, row, version| {
            Aad { purpose: Purpose::new(purpose), team, row, version }.encode(key).unwrap()
        };
        let places = [
            encode("a", "bc", 1),
            encode("ab", "c", 1),
            encode("abc", "", 1),
            encode("a", "bc", 2),
            encode("a", "bc\0", 1),
        ];
        for (i, one) in places.iter().enumerate() {
            for other in &places[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a-z")]
    fn a_label_of_other_characters_is_no_purpose() {
        let _ = Purpose::new("Connection");
    }
}
