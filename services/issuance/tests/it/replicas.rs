//! Several issuance processes on one store.

use std::sync::Arc;

use keystile_contract::proto::issuance::v1::RevokeKeyRequest;
use keystile_domain::log::Nonce;
use keystile_issuance::store::{Store, memory::MemoryStore, sql::SqlStore};
use keystile_testkit::{Postgres, SeededEntropy};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    followers::Follower,
    world::{HISTORY, World, migrated, receipt, ring},
};

/// A cut in one process, whose only follower has its stream at another and does not renew.
async fn cut_here_acknowledged_there(store: Arc<dyn Store>) {
    let here = World::over(Arc::clone(&store), ring()).await;
    let there = World::over(store, ring()).await;
    let stop = CancellationToken::new();
    for world in [&here, &there] {
        tokio::spawn(world.service.clone().run(stop.clone()));
    }
    let owner = here.team().await;
    let mut follower = Follower::register(&there).await;
    let (acknowledge, requests) = mpsc::channel(4);
    acknowledge.send(follower.opening()).await.expect("open");
    let rows = follower.log.watch(ReceiverStream::new(requests)).await.expect("watching");
    let mut rows = rows.into_inner();
    let follows = tokio::spawn(async move {
        while let Ok(Some(pushed)) = rows.message().await {
            if acknowledge.send(follower.acknowledgement(&pushed.rows)).await.is_err() {
                return;
            }
        }
    });
    // The first is made while the processes may not hear one another yet.
    for first in [true, false] {
        let (key, _) = here.key(&owner).await;
        let revoke = RevokeKeyRequest { key_id: key.id, operation_id: here.operation() };
        let outcome = here.keys().revoke_key(here.by(&owner, revoke)).await.expect("revoked");
        let receipt = receipt(outcome.into_inner().outcome);
        assert!(first || (receipt.acknowledged, receipt.waited_out) == (1, 0), "{receipt:?}");
    }
    stop.cancel();
    follows.abort();
}

#[tokio::test(start_paused = true)]
async fn a_cut_hears_of_an_acknowledgement_that_another_process_got() {
    cut_here_acknowledged_there(Arc::new(MemoryStore::new(HISTORY, Nonce([0; 16])))).await;
}

#[tokio::test]
async fn so_it_does_over_postgres() {
    let server = Postgres::start();
    let database = migrated(server.database()).await;
    let store = SqlStore::open(database, &SeededEntropy::new(3)).await.expect("opens");
    cut_here_acknowledged_there(Arc::new(store)).await;
}
