//! Deletions on their way to issuance.

use keystile_contract::proto::{common::v1::Outcome, vault::v1::ListAuditRequest};
use keystile_domain::{ConnectionId, ErrorKind};
use keystile_testkit::eventually;
use serde_json::json;

use crate::{
    issuance::Cuts,
    world::{CANARY, Vault, World, bearer},
};

async fn delete(vault: &Vault, id: ConnectionId) -> Outcome {
    vault.delete(id).await.expect("deleted").outcome.expect("an outcome")
}

#[tokio::test]
async fn a_deletion_returns_with_issuance_s_receipt() {
    let world = World::new().await;
    let vault = world.start().await;
    let first = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let second = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let capability = vault.capability("action.bearer.read-echo", Some(first));
    let (one, two) = (delete(&vault, first).await, delete(&vault, second).await);
    assert_eq!((one.pending, one.receipt.expect("a receipt").seq), (false, 1));
    let expected =
        [(first.to_string(), one.operation_id.clone()), (second.to_string(), two.operation_id)];
    assert_eq!(world.issuance.state().attempts, expected);

    assert_eq!(vault.get(first).await.expect_err("gone").kind, ErrorKind::NotFound);
    let refused = vault.run(&capability, json!({})).await.expect_err("gone");
    assert_eq!(refused.reason, "connection_unusable");
    assert_eq!(delete(&vault, first).await, one);
    assert_eq!(world.issuance.state().attempts.len(), 2);

    let request = ListAuditRequest { subject_id: first.to_string(), ..Default::default() };
    let trail = vault.connections().list_audit(vault.by_owner(request)).await.expect("lists");
    let seqs: Vec<_> =
        trail.into_inner().entries.into_iter().map(|entry| (entry.action, entry.seq)).collect();
    assert_eq!(seqs, [("connection.deleted".to_owned(), 1), ("connection.created".to_owned(), 0)]);
    vault.stop().await;
}

#[tokio::test]
async fn a_cut_that_issuance_did_not_take_is_pending_and_survives_a_crash() {
    for refusal in [Cuts::Refused, Cuts::Pending] {
        let world = World::new().await;
        world.issuance.state().cuts = refusal;
        // Nothing runs in the background: the process dies after its answer.
        let vault = world.idle().await;
        let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
        let outcome = delete(&vault, id).await;
        assert_eq!((outcome.pending, outcome.receipt), (true, None));
        assert_eq!(vault.get(id).await.expect_err("gone here at once").kind, ErrorKind::NotFound);
        drop(vault);

        world.issuance.state().cuts = Cuts::Taken;
        let vault = world.start().await;
        eventually("the cut is sent", async || world.issuance.state().attempts.len() > 1).await;
        let settled = delete(&vault, id).await;
        assert!(settled.receipt.is_some());
        let attempts = world.issuance.state().attempts.clone();
        assert!(
            attempts
                .iter()
                .all(|attempt| *attempt == (id.to_string(), outcome.operation_id.clone()))
        );
        assert_eq!(settled.operation_id, outcome.operation_id);
        vault.stop().await;
    }
}

#[tokio::test]
async fn the_background_takes_up_what_a_request_could_not_send() {
    let world = World::new().await;
    let vault = world.start().await;
    let id = vault.link("bearer", bearer(CANARY)).await.expect("linked");
    world.issuance.state().cuts = Cuts::Refused;
    assert!(delete(&vault, id).await.pending);
    world.issuance.state().cuts = Cuts::Taken;
    let sent = world.issuance.state().attempts.len();
    eventually("it is sent again", async || world.issuance.state().attempts.len() > sent).await;
    eventually("it is settled", async || !delete(&vault, id).await.pending).await;
    vault.stop().await;
}
