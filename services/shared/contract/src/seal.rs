//! Sealed messages: made by one role, accepted by one role, design §7.

use std::{collections::BTreeMap, fmt, time::Duration};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use keystile_domain::{ErrorKind, Role};
use prost_types::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    convert::{timestamp, wall},
    proto::common::v1::{SealKind, Sealed},
};

/// How long an actor is accepted.
pub const ACTOR_TTL: Duration = Duration::from_mins(1);
/// How long a capability is accepted.
pub const CAPABILITY_TTL: Duration = Duration::from_secs(30);
/// How far the clocks of two machines may differ before a fresh seal looks expired.
const SKEW: Duration = Duration::from_secs(5);

/// Every pair that may seal for another. What is not here has no subkey.
const PAIRS: [(SealKind, Role, Role); 7] = [
    (SealKind::Actor, Role::Console, Role::Issuance),
    (SealKind::Actor, Role::Console, Role::Vault),
    (SealKind::Actor, Role::Console, Role::Triggers),
    (SealKind::Capability, Role::Verification, Role::Vault),
    (SealKind::Capability, Role::Verification, Role::Triggers),
    (SealKind::Capability, Role::Issuance, Role::Vault),
    (SealKind::Entry, Role::Verification, Role::Verification),
];

fn label(kind: SealKind) -> &'static str {
    match kind {
        SealKind::Actor => "actor",
        SealKind::Capability => "capability",
        SealKind::Entry => "entry",
        SealKind::Unspecified => "unspecified",
    }
}

fn pair_label(kind: SealKind, minter: Role, audience: Role) -> String {
    format!("{}/{minter}/{audience}", label(kind))
}

/// A message cannot be sealed or opened. Says no more than that: what is wrong with a forgery is
/// not its maker's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This role holds no subkey for that kind and peer.
    #[error("this role may not seal or open that message")]
    NoSubkey,
    /// Not made by who it says, altered, or for somebody else.
    #[error("the seal is not valid")]
    Forged,
    /// Past its end.
    #[error("the seal has expired")]
    Expired,
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSubkey => ErrorKind::Internal,
            Self::Forged | Self::Expired => ErrorKind::Unauthenticated,
        }
    }
}

/// Subkeys that were handed over are not what a role can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubkeys {
    /// Those of a pair that the role needs are not among them.
    #[error("there is none for {label}, which {role} needs")]
    Missing {
        /// The role.
        role: Role,
        /// The pair.
        label: String,
    },
    /// One version of a pair has two.
    #[error("{label} has version {version} twice")]
    Twice {
        /// The pair.
        label: String,
        /// The version.
        version: u32,
    },
    /// No roles seal that for one another.
    #[error("{0} is no kind/minter/audience")]
    Unknown(String),
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Subkey([u8; 32]);

/// The sealing subkeys that one role holds: those for messages it makes and those for messages it
/// accepts.
#[derive(Clone)]
pub struct SealKeys {
    role: Role,
    subkeys: BTreeMap<(i32, Role, Role), BTreeMap<u32, Subkey>>,
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKeys").field("role", &self.role).finish_non_exhaustive()
    }
}

impl SealKeys {
    /// Derives what `role` may hold from the sealing keys, `(version, 32 random bytes)` each.
    #[must_use]
    pub fn derive(role: Role, sealing_keys: &[(u32, [u8; 32])]) -> Self {
        let held =
            PAIRS.into_iter().filter(|(_, minter, audience)| [*minter, *audience].contains(&role));
        let subkeys = held.map(|(kind, minter, audience)| {
            let info = format!("ks/1/{}", pair_label(kind, minter, audience));
            let versions = sealing_keys.iter().map(|(version, key)| {
                let mut subkey = [0; 32];
                // 32 bytes are far below HKDF's limit of 255 blocks: this cannot fail.
                let _ = Hkdf::<Sha256>::new(None, key).expand(info.as_bytes(), &mut subkey);
                (*version, Subkey(subkey))
            });
            ((kind as i32, minter, audience), versions.collect())
        });
        Self { role, subkeys: subkeys.collect() }
    }

    /// Takes subkeys as [`SealKeys::labelled`] tells them, of which `role` uses its own.
    ///
    /// # Errors
    /// [`InvalidSubkeys`] names the label.
    pub fn from_labelled<'a>(
        role: Role,
        given: impl IntoIterator<Item = (&'a str, u32, &'a [u8; 32])>,
    ) -> Result<Self, InvalidSubkeys> {
        let mut by_label: BTreeMap<String, BTreeMap<u32, Subkey>> = PAIRS
            .map(|(kind, minter, audience)| (pair_label(kind, minter, audience), BTreeMap::new()))
            .into();
        for (label, version, key) in given {
            let versions = by_label.get_mut(label);
            let versions = versions.ok_or_else(|| InvalidSubkeys::Unknown(label.to_owned()))?;
            if versions.insert(version, Subkey(*key)).is_some() {
                return Err(InvalidSubkeys::Twice { label: label.to_owned(), version });
            }
        }
        let own =
            PAIRS.into_iter().filter(|(_, minter, audience)| [*minter, *audience].contains(&role));
        let subkeys = own.map(|(kind, minter, audience)| {
            let label = pair_label(kind, minter, audience);
            let versions = by_label.remove(&label).filter(|versions| !versions.is_empty());
            Ok((
                (kind as i32, minter, audience),
                versions.ok_or(InvalidSubkeys::Missing { role, label })?,
            ))
        });
        Ok(Self { role, subkeys: subkeys.collect::<Result<_, InvalidSubkeys>>()? })
    }

    /// What this role holds, for handing it over: `<kind>/<minter>/<audience>`, version, subkey.
    pub fn labelled(&self) -> impl Iterator<Item = (String, u32, &[u8; 32])> {
        PAIRS.into_iter().flat_map(|(kind, minter, audience)| {
            let held = self.subkeys.get(&(kind as i32, minter, audience)).into_iter().flatten();
            held.map(move |(version, subkey)| {
                (pair_label(kind, minter, audience), *version, &subkey.0)
            })
        })
    }

    /// Seals `payload` for `audience` under the newest subkey, accepted until `expires_at`.
    ///
    /// # Errors
    /// [`Error::NoSubkey`] if this role makes no such message.
    pub fn seal(
        &self,
        kind: SealKind,
        audience: Role,
        expires_at: OffsetDateTime,
        payload: Vec<u8>,
    ) -> Result<Sealed, Error> {
        let subkeys =
            self.subkeys.get(&(kind as i32, self.role, audience)).ok_or(Error::NoSubkey)?;
        let (version, subkey) = subkeys.last_key_value().ok_or(Error::NoSubkey)?;
        let millis = unix_millis(expires_at);
        let mac = mac(subkey, kind, *version, millis, &payload);
        Ok(Sealed {
            kind: kind.into(),
            minter: self.role.to_string(),
            audience: audience.to_string(),
            key_version: *version,
            expires_at: Some(timestamp(from_millis(millis))),
            payload,
            mac: mac.to_vec(),
        })
    }

    /// Checks that `sealed` is a `kind` made for this role and still current, and says who made it.
    ///
    /// # Errors
    /// [`Error::Forged`] or [`Error::Expired`].
    pub fn open<'s>(
        &self,
        kind: SealKind,
        sealed: &'s Sealed,
        now: OffsetDateTime,
    ) -> Result<(Role, &'s [u8]), Error> {
        let minter = Role::parse(&sealed.minter).ok_or(Error::Forged)?;
        if sealed.kind != i32::from(kind) || sealed.audience != self.role.as_str() {
            return Err(Error::Forged);
        }
        let subkeys = self.subkeys.get(&(kind as i32, minter, self.role)).ok_or(Error::Forged)?;
        let subkey = subkeys.get(&sealed.key_version).ok_or(Error::Forged)?;
        let expires_at = expiry(sealed.expires_at.as_ref()).ok_or(Error::Forged)?;
        let expected =
            mac(subkey, kind, sealed.key_version, unix_millis(expires_at), &sealed.payload);
        if !bool::from(expected.ct_eq(&sealed.mac)) {
            return Err(Error::Forged);
        }
        if now > expires_at + SKEW {
            return Err(Error::Expired);
        }
        Ok((minter, &sealed.payload))
    }
}

/// Whole milliseconds only: the MAC covers no more.
fn expiry(stamp: Option<&Timestamp>) -> Option<OffsetDateTime> {
    stamp.filter(|stamp| stamp.nanos % 1_000_000 == 0).and_then(wall)
}

fn unix_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn mac(
    subkey: &Subkey,
    kind: SealKind,
    version: u32,
    expires_millis: i64,
    payload: &[u8],
) -> [u8; 32] {
    // HMAC takes a key of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(&subkey.0).unwrap_or_else(|_| unreachable!());
    mac.update(b"ks1");
    mac.update(&[kind as u8]);
    mac.update(&version.to_be_bytes());
    mac.update(&expires_millis.to_be_bytes());
    mac.update(payload);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);
    const KEYS: [(u32, [u8; 32]); 2] = [(1, [1; 32]), (2, [2; 32])];

    fn sealed() -> Sealed {
        SealKeys::derive(Role::Console, &KEYS)
            .seal(SealKind::Actor, Role::Issuance, NOW + ACTOR_TTL, b"payload".to_vec())
            .expect("the console seals actors")
    }

    fn open(role: Role, sealed: &Sealed, now: OffsetDateTime) -> Result<Role, Error> {
        SealKeys::derive(role, &KEYS).open(SealKind::Actor, sealed, now).map(|(minter, _)| minter)
    }

    #[test]
    fn only_the_audience_accepts_it_and_only_in_time() {
        let sealed = sealed();
        assert_eq!(open(Role::Issuance, &sealed, NOW), Ok(Role::Console));
        assert_eq!(open(Role::Vault, &sealed, NOW), Err(Error::Forged));
        let end = NOW + ACTOR_TTL + SKEW;
        assert_eq!(open(Role::Issuance, &sealed, end), Ok(Role::Console));
        assert_eq!(
            open(Role::Issuance, &sealed, end + Duration::from_millis(1)),
            Err(Error::Expired)
        );
    }

    #[test]
    fn no_field_can_be_changed() {
        let good = sealed();
        let mut forgeries = Vec::new();
        for audience in Role::ALL {
            forgeries.push(Sealed { audience: audience.to_string(), ..good.clone() });
            forgeries.push(Sealed { minter: audience.to_string(), ..good.clone() });
        }
        for kind in 0..4 {
            forgeries.push(Sealed { kind, ..good.clone() });
        }
        forgeries.push(Sealed { key_version: 1, ..good.clone() });
        forgeries.push(Sealed { key_version: 3, ..good.clone() });
        forgeries.push(Sealed { expires_at: None, ..good.clone() });
        let later = timestamp(NOW + ACTOR_TTL + Duration::from_millis(1));
        forgeries.push(Sealed { expires_at: Some(later), ..good.clone() });
        let mut finer = good.expires_at.expect("set");
        finer.nanos += 1;
        forgeries.push(Sealed { expires_at: Some(finer), ..good.clone() });
        for at in 0..good.payload.len() {
            let mut payload = good.payload.clone();
            payload[at] ^= 1;
            forgeries.push(Sealed { payload, ..good.clone() });
        }
        for at in 0..32 {
            let mut mac = good.mac.clone();
            mac[at] ^= 1;
            forgeries.push(Sealed { mac, ..good.clone() });
        }
        for len in 0..32 {
            forgeries.push(Sealed { mac: good.mac[..len].to_vec(), ..good.clone() });
        }
        forgeries.retain(|forgery| *forgery != good);
        assert_eq!(forgeries.len(), 10 + 3 + 5 + 7 + 32 + 32);
        for forgery in &forgeries {
            assert_eq!(open(Role::Issuance, forgery, NOW), Err(Error::Forged));
        }
    }

    #[test]
    fn a_role_that_was_handed_its_subkeys_works_as_one_that_derived_them() {
        let sealed = sealed();
        let issuance = SealKeys::derive(Role::Issuance, &KEYS);
        let told: Vec<_> = issuance.labelled().map(|(label, at, key)| (label, at, *key)).collect();
        let labels: Vec<_> = told.iter().map(|(label, at, _)| format!("{label} {at}")).collect();
        assert_eq!(
            labels,
            [
                "actor/console/issuance 1",
                "actor/console/issuance 2",
                "capability/issuance/vault 1",
                "capability/issuance/vault 2",
            ]
        );
        let given = || told.iter().map(|(label, at, key)| (label.as_str(), *at, key));
        let handed = SealKeys::from_labelled(Role::Issuance, given()).expect("complete");
        assert!(handed.open(SealKind::Actor, &sealed, NOW).is_ok());
        let refused = |role, given: &[(&str, u32, &[u8; 32])]| {
            SealKeys::from_labelled(role, given.iter().copied()).err()
        };
        let missing = refused(Role::Issuance, &given().take(2).collect::<Vec<_>>());
        let (role, label) = (Role::Issuance, "capability/issuance/vault".to_owned());
        assert_eq!(missing, Some(InvalidSubkeys::Missing { role, label }));
        let again: Vec<_> = given().chain([("actor/console/issuance", 2, &[9; 32])]).collect();
        let label = "actor/console/issuance".to_owned();
        let twice = Some(InvalidSubkeys::Twice { label, version: 2 });
        assert_eq!(refused(Role::Issuance, &again), twice);
        assert_eq!(refused(Role::Gateway, &again), twice, "also of what it does not use");
        let more: Vec<_> = given().chain([("actor/console/gateway", 1, &[9; 32])]).collect();
        let unknown = Some(InvalidSubkeys::Unknown("actor/console/gateway".to_owned()));
        assert_eq!(refused(Role::Issuance, &more), unknown);
        let gateway = SealKeys::from_labelled(Role::Gateway, []).expect("needs none");
        assert_eq!(gateway.labelled().count(), 0);
    }

    #[test]
    fn a_role_cannot_seal_what_is_not_its_to_say() {
        let gateway = SealKeys::derive(Role::Gateway, &KEYS);
        let denied = gateway.seal(SealKind::Capability, Role::Vault, NOW, Vec::new());
        assert_eq!(denied.err(), Some(Error::NoSubkey));
        let vault = SealKeys::derive(Role::Vault, &KEYS);
        assert!(vault.seal(SealKind::Actor, Role::Vault, NOW, Vec::new()).is_err());
    }
}
