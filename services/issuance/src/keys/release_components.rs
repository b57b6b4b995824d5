//! Taking components that an app no longer has from the keys that hold them.

use std::collections::BTreeSet;

use keystile_domain::{
    AppKey, ComponentId, Grant, KeyId, TeamId, Tick, facts::KeyStatus, log::ChangeKind,
};

use super::{By, Edit, EditKey, Given};
use crate::{
    Error, Service,
    change::{Ask, Origin, Outcome},
    store::{After, KeyQuery, KeyRecord, KeySort},
};

/// Keys that are read at a time.
const BATCH: u64 = 100;
/// Keys that are named.
const NAMED: usize = 20;

/// What is to go.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// Of this team's keys.
    pub(crate) team: TeamId,
    /// The app.
    pub(crate) app: AppKey,
    /// Its components; none: all that it has.
    pub(crate) components: BTreeSet<ComponentId>,
    /// Or only say who holds them?
    pub(crate) force: bool,
}

/// Who held it.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    /// The first of them.
    pub(crate) named: Vec<(KeyId, String)>,
    /// How many in all.
    pub(crate) count: u64,
    /// How the last cut ended, if it was forced. A later row's barrier covers all before it.
    pub(crate) outcome: Option<Outcome>,
}

impl Service {
    /// Names the keys that hold any of the components and, if forced, takes them: one change a key,
    /// each its own transaction, and one barrier at the end.
    #[tracing::instrument(name = "issuance.release_components", skip_all, fields(team.id = %release.team, app.key = %release.app))]
    pub(crate) async fn release_components(
        &self,
        origin: &Origin,
        release: &Release,
        deadline: Tick,
    ) -> Result<Released, Error> {
        let mut query = KeyQuery {
            team: release.team,
            limit: BATCH,
            after: None,
            name_contains: None,
            environment: None,
            status: None,
            app: Some(release.app.clone()),
            sort: KeySort::CreatedAsc,
        };
        let mut released = Released { named: Vec::new(), count: 0, outcome: None };
        let mut last = None;
        loop {
            let keys = self.store.list_keys(&query).await?;
            for key in keys.iter().filter(|key| release.concerns(key)) {
                if release.force {
                    match self.release_from(origin, release, key.id, deadline).await {
                        Ok(operation) => last = Some(operation),
                        // Revoked or deleted since the batch was read: it holds nothing.
                        Err(Error::KeyRevoked | Error::NotFound(_)) => continue,
                        Err(error) => return Err(error),
                    }
                }
                released.count += 1;
                if released.named.len() < NAMED {
                    released.named.push((key.id, key.label()));
                }
            }
            let Some(end) = keys.last() else { break };
            query.after = Some(After::Created(end.created_at, end.id));
        }
        if release.force {
            // Also with nothing left to take: an earlier attempt may have taken it, unconfirmed.
            let operation = last.unwrap_or_else(|| self.new_operation());
            released.outcome = Some(self.settle_head(operation, deadline).await?);
        }
        Ok(released)
    }

    async fn release_from(
        &self,
        origin: &Origin,
        release: &Release,
        id: KeyId,
        deadline: Tick,
    ) -> Result<keystile_domain::OperationId, Error> {
        let edit = TakeComponents(release);
        let change = EditKey { by: By::Checked, team: release.team, id, edit };
        let ask = Ask {
            team: release.team,
            operation: self.new_operation(),
            origin: origin.clone(),
            deadline,
            request: None,
        };
        let committed = self.commit(&ask, &change).await?;
        self.see_through(&committed.waiting);
        Ok(committed.id)
    }
}

impl Release {
    fn takes(&self, component: &ComponentId) -> bool {
        self.components.is_empty() || self.components.contains(component)
    }

    fn concerns(&self, key: &KeyRecord) -> bool {
        let held = key.grants.iter().filter(|grant| *grant.app() == self.app);
        key.status != KeyStatus::Revoked
            && held.flat_map(Grant::components).any(|component| self.takes(component))
    }
}

struct TakeComponents<'a>(&'a Release);

impl Edit for TakeComponents<'_> {
    const KIND: ChangeKind = ChangeKind::GrantRemoved;

    fn edit(&self, key: &mut KeyRecord, _: &Given<'_>) -> Result<(), Error> {
        let mut kept = Vec::with_capacity(key.grants.len());
        for grant in key.grants.drain(..) {
            if *grant.app() != self.0.app {
                kept.push(grant);
                continue;
            }
            let left: BTreeSet<_> =
                grant.components().iter().filter(|id| !self.0.takes(id)).cloned().collect();
            // A grant of nothing is none.
            if left.is_empty() {
                continue;
            }
            let app = grant.app().clone();
            let narrowed = Grant::new(app, grant.connection(), grant.integration(), left);
            kept.push(narrowed.map_err(|_| Error::Defect("a narrowed grant is not valid"))?);
        }
        key.grants = kept;
        Ok(())
    }
}
