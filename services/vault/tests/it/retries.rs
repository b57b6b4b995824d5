//! What is sent again, what is not, and what comes back of an answer beside its body.

use std::{sync::Arc, time::Duration};

use keystile_contract::{Failure, capability::Capability, proto::vault::v1::RunActionResponse};
use keystile_domain::{ErrorKind, Scope};
use keystile_testkit::{Next, eventually};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::world::{CANARY, Vault, World, bearer};

const AT_ONCE: Next = Next::Status(429, &[("retry-after", "0")]);

struct Linked {
    world: World,
    vault: Arc<Vault>,
    read: Capability,
    write: Capability,
}

impl Linked {
    async fn new() -> Self {
        let world = World::new().await;
        let vault = Arc::new(world.start().await);
        let connection = vault.link("bearer", bearer(CANARY)).await.expect("linked");
        let component =
            |name: &str| vault.capability(&format!("action.bearer.{name}"), Some(connection));
        let (read, write) = (component("read-echo"), component("write-echo"));
        Self { world, vault, read, write }
    }

    async fn run(&self, capability: &Capability) -> Result<RunActionResponse, Failure> {
        let inputs = if *capability == self.write { json!({"title": "tea"}) } else { json!({}) };
        let mut request = self.vault.run_request(capability, &inputs);
        request.set_timeout(Duration::from_secs(5));
        self.vault.send(request).await
    }

    fn sent(&self) -> usize {
        self.world.upstream.received().len()
    }
}

#[tokio::test]
async fn a_read_is_made_again_for_as_long_as_the_app_says_so_and_a_few_times_at_most() {
    let linked = Linked::new().await;
    for (next, status, sent) in [
        (vec![AT_ONCE], 200, 2),
        (vec![AT_ONCE, Next::Status(503, &[("retry-after", "0")])], 200, 3),
        (vec![Next::Status(502, &[]), Next::Status(504, &[])], 200, 3),
        (vec![AT_ONCE, AT_ONCE, AT_ONCE], 429, 3),
        (vec![Next::Broken], 200, 2),
        (vec![Next::Status(429, &[])], 429, 1),
        (vec![Next::Status(500, &[])], 500, 1),
    ] {
        let before = linked.sent();
        linked.world.upstream.next(next.clone());
        let answer = linked.run(&linked.read).await.expect("answers");
        assert_eq!((answer.status, linked.sent() - before), (status, sent), "{next:?}");
    }
    // Each attempt carries the credential.
    for received in linked.world.upstream.received() {
        assert_eq!(received.headers["authorization"], format!("Bearer {CANARY}"));
    }
}

#[tokio::test]
async fn what_changes_something_is_sent_once() {
    let linked = Linked::new().await;
    for status in [429, 502, 503, 504] {
        let before = linked.sent();
        linked.world.upstream.next([Next::Status(status, &[("retry-after", "0")])]);
        let answer = linked.run(&linked.write).await.expect("answers");
        assert_eq!((answer.status, linked.sent() - before), (status.into(), 1));
        assert_eq!(answer.retry_after.expect("said so").seconds, 0);
    }
    let before = linked.sent();
    linked.world.upstream.next([Next::Broken]);
    let broken = linked.run(&linked.write).await.expect_err("it broke off");
    assert_eq!((broken.kind, broken.reason.as_str()), (ErrorKind::Upstream, "upstream_invalid"));
    assert_eq!(linked.sent() - before, 1);
}

#[tokio::test]
async fn an_app_that_asks_for_more_time_than_there_is_is_told_to_the_caller_at_once() {
    let linked = Linked::new().await;
    for wait in ["5", "31", "3600"] {
        let before = linked.sent();
        let header: &'static [_] = Box::leak(Box::new([("retry-after", wait)]));
        linked.world.upstream.next([Next::Status(429, header)]);
        let answer = linked.run(&linked.read).await.expect("answers");
        assert_eq!((answer.status, linked.sent() - before), (429, 1), "{wait}");
        let told = answer.retry_after.expect("said so").seconds;
        assert_eq!(told.to_string(), wait);
    }
}

/// A wait is time in which access may be cut.
#[tokio::test]
async fn a_cut_between_two_attempts_ends_them() {
    let linked = Arc::new(Linked::new().await);
    let permits = Arc::new(Semaphore::new(0));
    linked.world.upstream.next([Next::Held(Arc::clone(&permits), 503)]);
    let running = {
        let linked = Arc::clone(&linked);
        tokio::spawn(async move { linked.run(&linked.read).await })
    };
    eventually("it is sent", async || linked.sent() == 1).await;
    let cut = linked.world.issuance.log.commit(Scope::Key(linked.read.key));
    linked.vault.heard_of(cut, &linked.read).await;
    let before = linked.sent();
    permits.add_permits(1);
    let stale = running.await.expect("joins").expect_err("cut meanwhile");
    assert_eq!((stale.kind, linked.sent()), (ErrorKind::Stale, before));
}

#[tokio::test]
async fn selected_headers_come_along_without_the_credential() {
    const HEADERS: &[(&str, &str)] = &[
        ("etag", "\"7\""),
        ("link", "<https://api.example.com/?page=2>; rel=\"next\""),
        ("link", "<https://api.example.com/?page=9>; rel=\"last\""),
        ("x-ratelimit-remaining", "12"),
        ("x-request-id", "canary-7f3a91c2d4e85b60"),
        ("location", "https://api.example.com/somewhere"),
        ("x-internal", "1"),
        ("set-cookie", "a=b"),
    ];
    let linked = Linked::new().await;
    linked.world.upstream.next([Next::Status(200, HEADERS)]);
    let answer = linked.run(&linked.read).await.expect("answers");
    let told: Vec<_> = answer.headers.into_iter().map(|it| (it.name, it.value)).collect();
    let expected = [
        ("etag", "\"7\""),
        ("link", "<https://api.example.com/?page=2>; rel=\"next\""),
        ("link", "<https://api.example.com/?page=9>; rel=\"last\""),
        ("x-ratelimit-remaining", "12"),
        ("x-request-id", "[redacted]"),
    ];
    assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let usual = linked.run(&linked.read).await.expect("answers");
    assert_eq!(usual.headers[0].name, "content-type");
    let outputs: Value = serde_json::from_slice(&usual.outputs_json).expect("JSON");
    assert_eq!(outputs["method"], "GET");
}
