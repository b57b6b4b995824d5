//! What the app's document says one connection may take: `concurrency: 1, requests: 3, per: 3600`.

use std::{sync::Arc, time::Duration};

use keystile_contract::{Failure, capability::Capability, proto::vault::v1::RunActionResponse};
use keystile_domain::ErrorKind;
use keystile_testkit::{Next, eventually};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::world::{CANARY, Vault, World, bearer};

async fn linked(vault: &Vault) -> Capability {
    let connection = vault.link("limited", bearer(CANARY)).await.expect("linked");
    vault.capability("action.limited.read-echo", Some(connection))
}

async fn run(
    vault: &Vault,
    capability: &Capability,
    within: Duration,
) -> Result<RunActionResponse, Failure> {
    let mut request = vault.run_request(capability, &json!({}));
    request.set_timeout(within);
    vault.send(request).await
}

#[tokio::test]
async fn a_connection_has_as_many_requests_at_once_as_the_document_says() {
    let world = World::new().await;
    let vault = Arc::new(world.start().await);
    let (own, other) = (linked(&vault).await, linked(&vault).await);
    let permits = Arc::new(Semaphore::new(0));
    world.upstream.next([Next::Held(Arc::clone(&permits), 200)]);
    let minute = Duration::from_mins(1);
    let start = |capability: &Capability| {
        let (vault, capability) = (Arc::clone(&vault), capability.clone());
        tokio::spawn(async move { run(&vault, &capability, minute).await })
    };
    let first = start(&own);
    eventually("the first is sent", async || world.upstream.received().len() == 1).await;

    let busy = run(&vault, &own, Duration::from_millis(200)).await.expect_err("no place");
    assert_eq!((busy.kind, busy.reason.as_str()), (ErrorKind::Exhausted, "connection_busy"));
    assert_eq!(world.upstream.received().len(), 1);
    run(&vault, &other, minute).await.expect("has its own");

    let second = start(&own);
    permits.add_permits(1);
    assert_eq!(first.await.expect("joins").expect("answers").status, 200);
    assert_eq!(second.await.expect("joins").expect("had waited").status, 200);
    assert_eq!(world.upstream.received().len(), 3);
}

#[tokio::test]
async fn a_connection_has_as_many_requests_in_any_time_as_the_document_says() {
    let world = World::new().await;
    let vault = world.start().await;
    let (own, other) = (linked(&vault).await, linked(&vault).await);
    let minute = Duration::from_mins(1);
    for _ in 0..2 {
        run(&vault, &own, minute).await.expect("within the rate");
    }
    // An attempt for which there is no room leaves what the app said.
    world.upstream.next([Next::Status(503, &[])]);
    assert_eq!(run(&vault, &own, minute).await.expect("within the rate").status, 503);
    let limited = run(&vault, &own, minute).await.expect_err("over the rate");
    assert_eq!(limited.kind, ErrorKind::Exhausted);
    assert_eq!(limited.reason, "connection_rate_limited");
    let wait: u64 = limited.facts["retry_after_ms"].parse().expect("a number");
    assert!((3_600_000..3_700_000).contains(&wait), "{wait}");
    assert_eq!(world.upstream.received().len(), 3);
    run(&vault, &other, minute).await.expect("has its own");
    vault.stop().await;
}
