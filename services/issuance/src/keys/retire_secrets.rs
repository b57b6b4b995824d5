//! Cutting the secrets of one key that were minted under one token key.

use std::sync::atomic::{AtomicU64, Ordering};

use keystile_domain::log::ChangeKind;

use super::{Edit, Given};
use crate::{Error, store::KeyRecord};

pub(crate) struct RetireSecrets {
    pub(crate) version: u8,
    /// How many the last attempt cut.
    pub(crate) cut: AtomicU64,
}

impl Edit for RetireSecrets {
    const KIND: ChangeKind = ChangeKind::TokenKeyRetired;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        let held = key.secrets.len();
        key.secrets.retain(|secret| secret.token_key_version != self.version);
        self.cut.store((held - key.secrets.len()) as u64, Ordering::Relaxed);
        Ok(())
    }
}
