//! Removing an app.

use std::time::Duration;

use keystile_domain::{Actor, AppKey, Permission};

use super::{OwnApp, client::Released};
use crate::{
    audit::{self, Author, Who},
    error::Error,
    vault::Vault,
};

/// Who held its components.
pub(crate) struct Removed {
    pub(crate) released: Released,
}

impl Vault {
    /// Removes an app that has no connections and no integrations; from the keys that hold its
    /// components first, if forced.
    pub(crate) async fn remove_app(
        &self,
        actor: &Actor,
        key: &AppKey,
        force: bool,
        wait: Duration,
    ) -> Result<Removed, Error> {
        let team = actor.require(Permission::AppsWrite)?;
        let newest = self.store.find_app(team, key, None).await?;
        let newest = newest.filter(|own| own.document.is_some()).ok_or(Error::UnknownApp)?;
        if self.store.app_is_used(team, key).await? {
            return Err(Error::AppInUse);
        }
        let who = Who::of(actor);
        let released = self.release(team, key, &[], force, &who, wait).await?;
        if !force {
            released.refuse_held()?;
        }
        let now = self.clock.now();
        let gone = OwnApp {
            version: newest.version + 1,
            document: None,
            created_at: now,
            created_by: who.label.clone(),
            ..newest
        };
        let author = Author::new(who, now, &*self.entropy);
        let entry = author.app(audit::APP_REMOVED, &gone, &[], &[]);
        if self.store.insert_app(&gone, &entry).await? {
            Ok(Removed { released })
        } else {
            Err(Error::AppChanged)
        }
    }
}
