//! Typed ids: a UUIDv7 behind a prefix, in the text form of the
//! [TypeID specification](https://github.com/jetify-com/typeid) (26 characters of lowercase
//! Crockford base32), so that ids sort by creation and one kind is never taken for another.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::entropy::{self, Entropy};

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that starts with {prefix}_ and has 26 more characters")]
pub struct ParseIdError {
    prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LEN: usize = 26;

fn encode(value: u128) -> String {
    (0..SUFFIX_LEN)
        .rev()
        .map(|place| char::from(ALPHABET[((value >> (5 * place)) & 31) as usize]))
        .collect()
}

fn decode(text: &str) -> Option<u128> {
    // The first character carries three bits: anything above '7' would not fit 128.
    if text.len() != SUFFIX_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        Some(value << 5 | digit as u128)
    })
}

fn generate(now: OffsetDateTime, entropy: &dyn Entropy) -> Uuid {
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &entropy::bytes(entropy)).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Uuid);

            impl $name {
                /// What the text form starts with, before the underscore.
                pub const PREFIX: &'static str = $prefix;

                /// A new id, ordered by `now`.
                pub fn generate(now: OffsetDateTime, entropy: &dyn Entropy) -> Self {
                    Self(generate(now, entropy))
                }

                /// The id with this value, as a database stores it.
                #[must_use]
                pub const fn from_uuid(value: Uuid) -> Self {
                    Self(value)
                }

                /// The value, as a database stores it.
                #[must_use]
                pub const fn as_uuid(self) -> Uuid {
                    self.0
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    write!(f, "{}_{}", $prefix, encode(self.0.as_u128()))
                }
            }

            impl std::fmt::Debug for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    std::fmt::Display::fmt(self, f)
                }
            }

            impl std::str::FromStr for $name {
                type Err = ParseIdError;

                fn from_str(text: &str) -> Result<Self, Self::Err> {
                    text.strip_prefix(concat!($prefix, "_"))
                        .and_then(decode)
                        .map(|value| Self(Uuid::from_u128(value)))
                        .ok_or(ParseIdError { prefix: $prefix })
                }
            }

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
        )*

        #[cfg(test)]
        const PREFIXES: &[(&str, &str)] = &[$((stringify!($name), $name::PREFIX)),*];
    };
}

ids! {
    /// A team: the tenant.
    TeamId = "team";
    /// A person who logs in to the console.
    UserId = "user";
    /// An API key, for URLs and APIs. The token carries a `kid` instead.
    KeyId = "key";
    /// One secret of a key; a key has two while a rotation overlaps.
    SecretId = "sec";
    /// A team's OAuth client for an app.
    IntegrationId = "int";
    /// One linked account of an app.
    ConnectionId = "conn";
    /// A registration that delivers events.
    TriggerId = "trg";
    /// A management token.
    ManagementTokenId = "mtok";
    /// One row of an audit trail.
    AuditId = "aud";
    /// One change, named by whoever asked for it, so that a repeat is recognised.
    OperationId = "op";
    /// One run of an action under an idempotency key.
    RunId = "run";
    /// One run of a follower process.
    Incarnation = "inc";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_pinned() {
        let expected = [
            ("TeamId", "team"),
            ("UserId", "user"),
            ("KeyId", "key"),
            ("SecretId", "sec"),
            ("IntegrationId", "int"),
            ("ConnectionId", "conn"),
            ("TriggerId", "trg"),
            ("ManagementTokenId", "mtok"),
            ("AuditId", "aud"),
            ("OperationId", "op"),
            ("RunId", "run"),
            ("Incarnation", "inc"),
        ];
        assert_eq!(PREFIXES, expected);
    }

    #[test]
    fn the_text_form_is_the_one_of_the_typeid_specification() {
        // The `valid.yml` vectors of the specification, with our prefix.
        for (text, uuid) in [
            ("key_00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
            ("key_00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
            ("key_0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
            ("key_7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("key_0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
            ("key_01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ] {
            let id: KeyId = text.parse().expect("a vector of the specification");
            assert_eq!(id.as_uuid(), uuid.parse::<Uuid>().expect("a uuid"));
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_id_of_that_kind_is_refused() {
        for text in [
            "",
            "key_",
            "team_01h455vb4pex5vsknk084sn02q",
            "key_81h455vb4pex5vsknk084sn02q",
            "key_01H455VB4PEX5VSKNK084SN02Q",
            "key_01h455vb4pex5vsknk084sn02",
            "key_01h455vb4pex5vsknk084sn02qq",
            "key_01h455vb4pex5vsknk084sn02l",
            "key_é1h455vb4pex5vsknk084sn02",
        ] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }
}
