//! Renaming, describing, and changing a key's expiry, IP list and limits.

use ipnet::IpNet;
use keystile_domain::{
    KeyId,
    limits::Limits,
    log::ChangeKind,
    name::{Description, Name},
};
use time::OffsetDateTime;

use super::{Caller, Changed, Edit, Given, rules};
use crate::{Error, Service, store::KeyRecord};

/// What to change. Absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct KeyUpdate {
    /// A new name.
    pub name: Option<Name>,
    /// A new description.
    pub description: Option<Description>,
    /// A new expiry; inner `None` is never.
    pub expires_at: Option<Option<OffsetDateTime>>,
    /// A new IP list; empty is anywhere.
    pub ip_allow_list: Option<Vec<IpNet>>,
    /// New limits, all of them.
    pub limits: Option<Limits>,
}

impl Service {
    /// Changes a key. Earlier expiry, a narrowed IP list and a lowered limit are cuts.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyRevoked`]; a refusal that names the field at fault.
    #[tracing::instrument(name = "issuance.update_key", skip_all, fields(key.id = %id))]
    pub async fn update_key(
        &self,
        caller: &Caller,
        id: KeyId,
        mut update: KeyUpdate,
    ) -> Result<Changed, Error> {
        if let Some(list) = update.ip_allow_list.take() {
            update.ip_allow_list = Some(rules::networks("ip_allow_list.networks", list)?);
        }
        self.edit_key(caller, id, update).await
    }
}

impl Edit for KeyUpdate {
    const KIND: ChangeKind = ChangeKind::KeyUpdated;

    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error> {
        if let Some(name) = &self.name {
            key.name = name.clone();
        }
        if let Some(description) = &self.description {
            key.description = description.clone();
        }
        if let Some(at) = self.expires_at {
            key.expires_at = rules::expiry("expiry.at", at, given.now)?;
        }
        if let Some(list) = &self.ip_allow_list {
            key.ip_allow_list.clone_from(list);
        }
        if let Some(limits) = self.limits {
            key.limits = limits;
        }
        Ok(())
    }
}
