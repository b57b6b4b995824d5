//! Deleting a connection: a cut for every key that uses it.

use std::time::Duration;

use keystile_domain::{Actor, ConnectionId, OperationId, Permission, log::Receipt};

use crate::{
    audit::{self, Author, Who},
    error::Error,
    vault::Vault,
};

/// How a deletion ended. Without a receipt it is committed, and its cut is still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) operation: OperationId,
    pub(crate) receipt: Option<Receipt>,
}

impl Vault {
    /// Destroys the credential first, so that nothing new goes out with it, then carries the cut to
    /// issuance and waits for its receipt, `wait` at most. Repeating it takes up the same cut.
    pub(crate) async fn delete(
        &self,
        actor: &Actor,
        id: ConnectionId,
        wait: Duration,
    ) -> Result<Deleted, Error> {
        let team = actor.require(Permission::ConnectionsWrite)?;
        let now = self.clock.now();
        let operation = OperationId::generate(now, &*self.entropy);
        let author = Author::new(Who::of(actor), now, &*self.entropy);
        let row = self
            .store
            .delete_connection(team, id, operation, now, &|connection| audit::Entry {
                operation: Some(operation),
                ..author.entry(audit::DELETED, connection, Some(connection), None)
            })
            .await?
            .ok_or(Error::ConnectionNotFound)?;
        let settled = self.outbox.deliver(&row, wait).await;
        let receipt = settled.and_then(|settled| settled.receipt);
        Ok(Deleted { operation: row.operation, receipt })
    }
}
