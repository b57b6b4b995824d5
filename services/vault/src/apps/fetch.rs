//! What the roles that serve a team's apps follow them by.

use std::collections::BTreeMap;

use keystile_domain::{AppKey, TeamId};

use crate::{error::Error, vault::Vault};

/// Bytes of the documents of one answer; the first may be larger.
const LARGEST: usize = 4 << 20;

/// What a team has.
pub(crate) struct Fetched {
    /// Key, version, and the document where it is not known.
    pub(crate) apps: Vec<(AppKey, u64, Option<String>)>,
    /// Some are left out for their size.
    pub(crate) more: bool,
}

impl Vault {
    /// The apps that a team has now, with the documents of versions that are not `known`.
    pub(crate) async fn fetch_apps(
        &self,
        team: TeamId,
        known: &BTreeMap<AppKey, u64>,
    ) -> Result<Fetched, Error> {
        let (mut apps, mut more, mut bytes) = (Vec::new(), false, 0);
        for own in self.store.current_apps(team).await? {
            if known.get(&own.key) == Some(&own.version) {
                apps.push((own.key, own.version, None));
                continue;
            }
            if bytes >= LARGEST {
                more = true;
                continue;
            }
            let found = self.store.find_app(team, &own.key, Some(own.version)).await?;
            if let Some(document) = found.and_then(|own| own.document) {
                bytes += document.len();
                apps.push((own.key, own.version, Some(document)));
            }
        }
        Ok(Fetched { apps, more })
    }
}
