//! Cutting the secrets of one key that were minted under one token key.

use keystile_domain::log::ChangeKind;

use super::{Edit, Given};
use crate::{Error, store::KeyRecord};

pub(crate) struct RetireSecrets {
    pub(crate) version: u8,
}

impl Edit for RetireSecrets {
    const KIND: ChangeKind = ChangeKind::TokenKeyRetired;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        key.secrets.retain(|secret| secret.token_key_version != self.version);
        Ok(())
    }
}
