//! How the connections behind keys are. Keys are issuance's and connections vault's: a key is shown
//! without this rather than not at all.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use keystile_contract::{
    Failure,
    proto::vault::v1::{BatchGetConnectionsRequest, Connection},
};
use keystile_domain::Role;

use super::view::KeyView;
use crate::{Service, rest::connections::view::status, token_use::Caller};

/// How long keys wait for vault.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections of one call.
const BATCH: usize = 200;

/// How a connection is.
#[derive(Debug, Clone)]
pub(super) struct Health {
    /// The status of the connection, or `deleted`.
    pub(super) status: Option<&'static str>,
    /// Why it is not active; empty if it is.
    pub(super) reason: String,
}

/// By the connection's id; what is not there is not known.
pub(super) type Healths = HashMap<String, Health>;

/// Fills in how the connections of `keys` are, as far as vault says so in time.
pub(super) async fn fill(service: &Service, caller: &Caller, keys: &mut [KeyView]) {
    let ids: BTreeSet<&str> = keys.iter().flat_map(KeyView::connections).collect();
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    let mut known = Healths::new();
    let asked = tokio::time::timeout(PATIENCE, ask(service, caller, &ids, &mut known)).await;
    if let Err(error) = asked.unwrap_or_else(|_| Err(Failure::deadline_exceeded())) {
        tracing::warn!(%error, "keys are shown without the state of their connections");
    }
    for key in keys {
        key.tell(&known);
    }
}

async fn ask(
    service: &Service,
    caller: &Caller,
    ids: &[String],
    known: &mut Healths,
) -> Result<(), Failure> {
    let peers = service.peers();
    for ids in ids.chunks(BATCH) {
        let message = BatchGetConnectionsRequest { connection_ids: ids.to_vec() };
        let request = peers.request(Role::Vault, &caller.actor, message)?;
        let found = peers.answer(peers.connections().batch_get_connections(request)).await?;
        let deleted = Health { status: Some("deleted"), reason: String::new() };
        known.extend(ids.iter().map(|id| (id.clone(), deleted.clone())));
        known.extend(found.connections.into_iter().map(of));
    }
    Ok(())
}

fn of(connection: Connection) -> (String, Health) {
    let status = status(connection.status());
    (connection.id, Health { status, reason: connection.status_reason })
}
