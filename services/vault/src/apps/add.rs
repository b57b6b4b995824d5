//! Adding an app, or its next version.

use std::{collections::BTreeSet, time::Duration};

use keystile_catalog::Report;
use keystile_domain::{Actor, AppKey, ComponentId, Permission};

use super::{MOST, OwnApp, client::Released, parse};
use crate::{
    audit::{self, Author, Who},
    error::Error,
    vault::Vault,
};

/// The document to add.
pub(crate) struct Add {
    pub(crate) key: AppKey,
    pub(crate) document: String,
    /// Take components that are gone from the keys that hold them?
    pub(crate) force: bool,
    /// Only say what would be?
    pub(crate) dry_run: bool,
}

/// What came of it.
pub(crate) struct Added {
    pub(crate) own: OwnApp,
    pub(crate) name: String,
    pub(crate) component_count: usize,
    pub(crate) stored: bool,
    pub(crate) report: Report,
    pub(crate) new: Vec<ComponentId>,
    pub(crate) gone: Vec<ComponentId>,
    pub(crate) released: Released,
}

impl Vault {
    /// Stores the next version of an app. What keys hold of the version before and the next one does
    /// not have is taken from them first, if forced: when the version is stored, no key holds it.
    pub(crate) async fn add_app(
        &self,
        actor: &Actor,
        add: Add,
        wait: Duration,
    ) -> Result<Added, Error> {
        let team = actor.require(Permission::AppsWrite)?;
        let Add { key, document, force, dry_run } = add;
        if self.catalog.app(&key).is_some() {
            return Err(Error::AppKeyTaken);
        }
        let (app, report) = parse(key.clone(), document.clone()).await?;
        let newest = self.store.find_app(team, &key, None).await?;
        let before = match &newest {
            Some(OwnApp { document: Some(text), .. }) => {
                Some(parse(key.clone(), text.clone()).await?.0)
            }
            _ => None,
        };
        if before.is_none() && self.store.current_apps(team).await?.len() >= MOST {
            return Err(Error::TooManyApps);
        }
        let ids = |app: &keystile_catalog::App| app.components.keys().cloned().collect();
        let held: BTreeSet<ComponentId> = before.as_deref().map(ids).unwrap_or_default();
        let has: BTreeSet<ComponentId> = ids(&app);
        let removed: Vec<_> = held.difference(&has).cloned().collect();
        let added: Vec<_> = has.difference(&held).cloned().collect();
        let who = Who::of(actor);
        let same = before.is_some()
            && newest.as_ref().is_some_and(|own| own.document.as_ref() == Some(&document));
        let mut released = Released::default();
        if !removed.is_empty() {
            let take = force && !dry_run;
            released = self.release(team, &key, &removed, take, &who, wait).await?;
            if !force && !dry_run {
                released.refuse_held()?;
            }
        }
        let now = self.clock.now();
        let own = match newest {
            Some(own) if same => own,
            newest => OwnApp {
                team,
                key,
                version: newest.map_or(0, |own| own.version) + 1,
                document: Some(document),
                created_at: now,
                created_by: who.label.clone(),
            },
        };
        let stored = !same && !dry_run;
        if stored {
            let author = Author::new(who, now, &*self.entropy);
            let entry = author.app(audit::APP_ADDED, &own, &added, &removed);
            if !self.store.insert_app(&own, &entry).await? {
                return Err(Error::AppChanged);
            }
        }
        let (name, component_count) = (app.name.clone(), app.components.len());
        Ok(Added {
            own,
            name,
            component_count,
            stored,
            report,
            new: added,
            gone: removed,
            released,
        })
    }
}
