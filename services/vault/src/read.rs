//! Looking at connections and at their trail.

use keystile_domain::{Actor, ConnectionId, Permission};

use crate::{
    audit,
    connection::Connection,
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
        found.map(|(connection, _)| connection).ok_or(Error::ConnectionNotFound)
    }

    /// Those of these connections that the actor's team has.
    pub(crate) async fn batch_get(
        &self,
        actor: &Actor,
        ids: &[ConnectionId],
    ) -> Result<Vec<Connection>, Error> {
        let team = actor.require(Permission::Read)?;
        Ok(self.store.find_connections(team, ids).await?)
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
        Ok(Page::cut(self.store.list_connections(team, &page).await?, limit))
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
