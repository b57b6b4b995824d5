//! The way of a cut from vault to issuance. Design §6.6: committed here first, then sent in order
//! per scope under one operation id, and done only with issuance's receipt.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use keystile_contract::{
    Failure, Transport,
    convert::{from_duration, scope},
    proto::{
        common::v1 as common,
        issuance::v1::{SetScopeStatusRequest, fact_service_client::FactServiceClient},
    },
};
use keystile_domain::{Clock, log::Receipt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::{OutboxRow, Settled, Store};

/// Rows sent in one round.
const BATCH: u64 = 100;
/// The longest that one attempt may take: a barrier waits a few seconds at most.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Between rounds while something is left over, growing from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Between rounds while nothing is: another process may have left rows behind.
const IDLE: Duration = Duration::from_secs(30);

/// Sends what the store holds for issuance.
pub(crate) struct Outbox {
    store: Arc<dyn Store>,
    issuance: Transport,
    clock: Arc<dyn Clock>,
    /// Something was added, or a sender gave up.
    left_over: Notify,
}

impl Outbox {
    pub(crate) fn new(store: Arc<dyn Store>, issuance: Transport, clock: Arc<dyn Clock>) -> Self {
        Self { store, issuance, clock, left_over: Notify::new() }
    }

    /// Sends one row and waits for issuance's answer, `wait` at most. `None` if it is not known to
    /// have arrived by then: the background task goes on.
    pub(crate) async fn deliver(&self, row: &OutboxRow, wait: Duration) -> Option<Settled> {
        if row.settled.is_some() {
            return row.settled;
        }
        let mut handover = Handover { to: &self.left_over, needed: true };
        let settled = tokio::time::timeout(wait, self.drain_until(row)).await.unwrap_or_default();
        handover.needed = settled.is_none();
        settled
    }

    /// Sends everything that is due in the row's scope, in order, up to the row.
    async fn drain_until(&self, row: &OutboxRow) -> Option<Settled> {
        loop {
            let due = self.store.outbox_due(Some(row.scope), 1).await.ok()?;
            let Some(next) = due.first() else {
                // The background task was quicker.
                return self.store.outbox_row(row.operation).await.ok()??.settled;
            };
            let settled = self.send(next).await?;
            if next.operation == row.operation {
                return Some(settled);
            }
        }
    }

    /// Sends one row and stores the answer. Repeating it is harmless: issuance knows the
    /// operation.
    async fn send(&self, row: &OutboxRow) -> Option<Settled> {
        let mut request = tonic::Request::new(SetScopeStatusRequest {
            team_id: row.team.to_string(),
            scope: Some(scope(row.scope)),
            usable: row.usable,
            operation_id: row.operation.to_string(),
        });
        request.set_timeout(ATTEMPT_TIMEOUT);
        let mut issuance = FactServiceClient::new(self.issuance.clone());
        // Boxed: the compiler cannot see through the client's generics that it is `Send`.
        let outcome = match issuance.set_scope_status(request).boxed().await {
            Ok(answer) => answer.into_inner().outcome?,
            Err(status) => {
                let error = Failure::from(status);
                tracing::warn!(operation.id = %row.operation, %error, "issuance did not take a change");
                return None;
            }
        };
        if outcome.pending {
            return None;
        }
        let receipt = outcome.receipt.and_then(|receipt| read(&receipt));
        if !row.usable && receipt.is_none() {
            return None;
        }
        let settled = Settled { receipt };
        match self.store.settle(row.operation, settled, self.clock.now()).await {
            Ok(()) => Some(settled),
            Err(error) => {
                tracing::warn!(operation.id = %row.operation, %error, "an answer was not stored");
                None
            }
        }
    }

    /// Sends what is left over until it is told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.left_over.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let emptied = tokio::select! {
                () = stop.cancelled() => return,
                emptied = self.round() => emptied,
            };
            pause = if emptied { IDLE } else { (2 * pause).clamp(RETRY.0, RETRY.1) };
        }
    }

    /// Sends the head of every scope until there is none left, or one is not taken. A scope whose
    /// head is stuck does not hold up the others.
    async fn round(&self) -> bool {
        let mut stuck = BTreeSet::new();
        loop {
            let due = match self.store.outbox_due(None, BATCH).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read");
                    return false;
                }
            };
            let fresh: Vec<_> =
                due.into_iter().filter(|row| !stuck.contains(&row.operation)).collect();
            if fresh.is_empty() {
                return stuck.is_empty();
            }
            let sent = fresh.iter().map(async |row| (row.operation, self.send(row).await));
            for (operation, settled) in join_all(sent).await {
                if settled.is_none() {
                    stuck.insert(operation);
                }
            }
        }
    }
}

/// Wakes the background task at the end, also when the caller goes away in the middle.
struct Handover<'a> {
    to: &'a Notify,
    needed: bool,
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        if self.needed {
            self.to.notify_one();
        }
    }
}

pub(crate) fn read(receipt: &common::Receipt) -> Option<Receipt> {
    Some(Receipt {
        seq: receipt.seq,
        acknowledged: receipt.acknowledged,
        waited_out: receipt.waited_out,
        elapsed: from_duration(receipt.elapsed.as_ref())?,
    })
}

#[cfg(test)]
mod tests {
    use keystile_contract::transport;
    use keystile_testkit::MockClock;

    use super::*;
    use crate::store::conformance::{SETTLED, add, connection, delete, sqlite};

    #[tokio::test]
    async fn a_cut_that_the_background_sent_first_is_not_pending() {
        let (store, _folder) = sqlite().await;
        add(&*store, &connection(1, 10, "sandbox"), 1).await;
        let row = delete(&*store, 1, 10, 20).await.expect("deleted");
        let (issuance, _nobody) = transport::deferred();
        let clock = Arc::new(MockClock::default());
        let outbox = Outbox::new(Arc::clone(&store), issuance, clock.clone());
        let wait = Duration::from_secs(1);
        assert_eq!(outbox.deliver(&row, wait).await, None, "issuance is not there");
        store.settle(row.operation, SETTLED, clock.now()).await.expect("settled");
        assert_eq!(outbox.deliver(&row, wait).await, Some(SETTLED));
    }
}
