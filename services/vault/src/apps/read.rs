//! Looking at a team's own apps.

use std::sync::Arc;

use keystile_catalog::{App, Report};
use keystile_domain::{Actor, AppKey, Permission};

use super::{OwnApp, parse};
use crate::{error::Error, vault::Vault};

/// A version and what it is.
pub(crate) struct Shown {
    pub(crate) own: OwnApp,
    pub(crate) app: Arc<App>,
    pub(crate) report: Report,
}

impl Vault {
    /// The apps of the actor's team as they are now, by key.
    pub(crate) async fn list_apps(&self, actor: &Actor) -> Result<Vec<(OwnApp, Arc<App>)>, Error> {
        let team = actor.require(Permission::Read)?;
        let mut apps = Vec::new();
        for own in self.store.current_apps(team).await? {
            // Gone again, if it is not there.
            if let Some(app) = self.find_app(team, &own.key).await? {
                apps.push((own, app));
            }
        }
        Ok(apps)
    }

    /// One version of an app, the newest if none is named.
    pub(crate) async fn get_app(
        &self,
        actor: &Actor,
        key: &AppKey,
        version: Option<u64>,
    ) -> Result<Shown, Error> {
        let team = actor.require(Permission::Read)?;
        let own = self.store.find_app(team, key, version).await?.ok_or(Error::UnknownApp)?;
        let document = own.document.clone().ok_or(Error::UnknownApp)?;
        let (app, report) = parse(key.clone(), document).await?;
        Ok(Shown { own, app, report })
    }
}
