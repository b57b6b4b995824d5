//! Looking at connections and at their trail.

use keystile_domain::{Actor, ConnectionId, Permission, TeamId};

use crate::{
    audit,
    connection::{Connection, Health, Status},
    error::Error,
    store::{AuditPage, ConnectionPage},
    vault::Vault,
};

/// A page and whether there is more.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) more: bool,
}

impl<T> Page<T> {
    /// A page of `limit`, from one more than that.
    pub(crate) fn cut(mut items: Vec<T>, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

impl Vault {
    /// One connection of the actor's team.
    pub(crate) async fn get(&self, actor: &Actor, id: ConnectionId) -> Result<Connection, Error> {
        let team = actor.require(Permission::Read)?;
        let found = self.store.find_connection(team, id).await?;
        let (connection, _) = found.ok_or(Error::ConnectionNotFound)?;
        let mut shown = [connection];
        self.show(team, &mut shown).await?;
        let [connection] = shown;
        Ok(connection)
    }

    /// Makes the health of connections what it is to whoever would use them: nothing goes out through
    /// an integration that is disabled.
    pub(crate) async fn show(
        &self,
        team: TeamId,
        connections: &mut [Connection],
    ) -> Result<(), Error> {
        if connections.iter().all(|connection| connection.issued.is_none()) {
            return Ok(());
        }
        let disabled = self.store.disabled_integrations(team).await?;
        let stopped = |connection: &&mut Connection| {
            let issued = connection.issued.as_ref();
            issued.is_some_and(|issued| disabled.contains(&issued.integration))
                && connection.health.status.may_run()
        };
        for connection in connections.iter_mut().filter(stopped) {
            connection.health = Health::because(Status::Revoked, "integration_disabled");
        }
        Ok(())
    }

    /// Those of these connections that the actor's team has.
    pub(crate) async fn batch_get(
        &self,
        actor: &Actor,
        ids: &[ConnectionId],
    ) -> Result<Vec<Connection>, Error> {
        let team = actor.require(Permission::Read)?;
        let mut found = self.store.find_connections(team, ids).await?;
        self.show(team, &mut found).await?;
        Ok(found)
    }

    /// The actor's team's connections, newest first.
    pub(crate) async fn list(
        &self,
        actor: &Actor,
        mut page: ConnectionPage,
    ) -> Result<Page<Connection>, Error> {
        let team = actor.require(Permission::Read)?;
        let limit = page.limit;
        page.limit += 1;
        let mut page = Page::cut(self.store.list_connections(team, &page).await?, limit);
        self.show(team, &mut page.items).await?;
        Ok(page)
    }

    /// The actor's team's trail, newest first.
    pub(crate) async fn trail(
        &self,
        actor: &Actor,
        mut page: AuditPage,
    ) -> Result<Page<(audit::Entry, u64)>, Error> {
        let team = actor.require(Permission::AuditExport)?;
        let limit = page.limit;
        page.limit += 1;
        Ok(Page::cut(self.store.list_audit(team, &page).await?, limit))
    }
}
