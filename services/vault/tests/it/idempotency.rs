//! Runs under an idempotency key: once, or nobody knows and never again.

use std::{sync::Arc, time::Duration};

use keystile_contract::{Failure, capability::Capability, proto::vault::v1::RunActionResponse};
use keystile_domain::{ErrorKind, KeyId, Scope};
use keystile_testkit::{Next, eventually};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::world::{CANARY, Vault, World, bearer, team, uuid};

const NAME: &str = "idempotency-canary-1";

struct Linked {
    world: World,
    vault: Arc<Vault>,
    write: Capability,
}

impl Linked {
    async fn new() -> Self {
        Self::of(World::new().await).await
    }

    async fn of(world: World) -> Self {
        let vault = Arc::new(world.start().await);
        let connection = vault.link("bearer", bearer(CANARY)).await.expect("linked");
        let write = vault.capability("action.bearer.write-echo", Some(connection));
        Self { world, vault, write }
    }

    async fn run_as(
        &self,
        capability: &Capability,
        inputs: Value,
        name: &str,
    ) -> Result<RunActionResponse, Failure> {
        let mut request = self.vault.named_request(capability, &inputs, name);
        request.set_timeout(Duration::from_secs(10));
        self.vault.send(request).await
    }

    async fn run(&self) -> Result<RunActionResponse, Failure> {
        self.run_as(&self.write, tea(), NAME).await
    }

    /// Why a repeat is refused.
    async fn refusal(&self) -> (ErrorKind, String) {
        let refused = self.run().await.expect_err("refused");
        assert!(!format!("{refused:?}").contains(NAME));
        (refused.kind, refused.reason)
    }

    fn sent(&self) -> usize {
        self.world.upstream.received().len()
    }

    /// Runs, and stands still at the app until there is a permit.
    async fn hold(self: &Arc<Self>) -> (Arc<Semaphore>, tokio::task::JoinHandle<Outcome>) {
        let permits = Arc::new(Semaphore::new(0));
        self.world.upstream.next([Next::Held(Arc::clone(&permits), 201)]);
        let before = self.sent();
        let linked = Arc::clone(self);
        let running = tokio::spawn(async move { linked.run().await });
        eventually("it is sent", async || self.sent() == before + 1).await;
        (permits, running)
    }
}

type Outcome = Result<RunActionResponse, Failure>;

fn tea() -> Value {
    json!({"title": "tea"})
}

fn conflict(reason: &str) -> (ErrorKind, String) {
    (ErrorKind::Conflict, reason.to_owned())
}

#[tokio::test]
async fn a_repeat_gets_the_answer_again_and_nothing_is_sent() {
    let linked = Linked::new().await;
    let first = linked.run().await.expect("runs");
    assert!(!first.replayed);
    let again = linked.run().await.expect("is known");
    assert_eq!(again, RunActionResponse { replayed: true, ..first.clone() });
    assert_eq!(linked.sent(), 1);
    // An error of the app is an answer.
    linked.world.upstream.next([Next::Status(422, &[("retry-after", "7"), ("etag", "\"1\"")])]);
    let other = linked.run_as(&linked.write, tea(), "2").await.expect("runs");
    let again = linked.run_as(&linked.write, tea(), "2").await.expect("is known");
    assert_eq!((again.status, again.headers.len()), (422, 1));
    assert_eq!(again, RunActionResponse { replayed: true, ..other });
    assert_eq!(linked.sent(), 2);
    // Without one, every request runs.
    linked.run_as(&linked.write, tea(), "").await.expect("runs");
    linked.run_as(&linked.write, tea(), "").await.expect("runs");
    assert_eq!(linked.sent(), 4);
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let linked = Linked::new().await;
    linked.run().await.expect("runs");
    let other = linked.vault.link("bearer", bearer(CANARY)).await.expect("linked");
    let elsewhere = Capability { connection: Some(other), ..linked.write.clone() };
    let read = linked.vault.capability("action.bearer.read-echo", linked.write.connection);
    for (capability, inputs) in
        [(&linked.write, json!({"title": "coffee"})), (&elsewhere, tea()), (&read, json!({}))]
    {
        let refused = linked.run_as(capability, inputs, NAME).await.expect_err("another");
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert_eq!(refused.reason, "idempotency_key_reused");
    }
    // Of another API key, or of another team, it is another key.
    let of_other = Capability { key: KeyId::from_uuid(uuid(6)), ..linked.write.clone() };
    linked.run_as(&of_other, json!({"title": "coffee"}), NAME).await.expect("runs");
    let foreign = Capability { team: team(2), connection: None, ..linked.write.clone() };
    let refused = linked.run_as(&foreign, tea(), NAME).await.expect_err("has no connection");
    assert_eq!(refused.reason, "connection_unusable");
    assert_eq!(linked.sent(), 2);
}

#[tokio::test]
async fn of_many_at_once_one_runs_and_the_others_are_told_so() {
    let linked = Arc::new(Linked::new().await);
    let (permits, running) = linked.hold().await;
    let others = (0..50).map(|_| {
        let linked = Arc::clone(&linked);
        tokio::spawn(async move { linked.refusal().await })
    });
    for other in others.collect::<Vec<_>>() {
        assert_eq!(other.await.expect("joins"), conflict("idempotency_in_progress"));
    }
    permits.add_permits(1);
    assert_eq!(running.await.expect("joins").expect("runs").status, 201);
    assert!(linked.run().await.expect("is known").replayed);
    assert_eq!(linked.sent(), 1);
}

#[tokio::test]
async fn a_run_goes_on_without_its_caller() {
    let linked = Arc::new(Linked::new().await);
    let (permits, running) = linked.hold().await;
    running.abort();
    assert!(running.await.expect_err("aborted").is_cancelled());
    assert_eq!(linked.refusal().await, conflict("idempotency_in_progress"));
    permits.add_permits(1);
    eventually("the answer is kept", async || linked.run().await.is_ok()).await;
    let answer = linked.run().await.expect("is known");
    assert_eq!((answer.status, answer.replayed, linked.sent()), (201, true, 1));
}

#[tokio::test]
async fn an_outcome_that_is_not_known_stays_so_and_nothing_is_sent_again() {
    let linked = Linked::new().await;
    linked.world.upstream.next([Next::Broken]);
    let broken = linked.run().await.expect_err("broke off");
    assert_eq!(broken.reason, "upstream_invalid");
    for _ in 0..3 {
        assert_eq!(linked.refusal().await, conflict("outcome_unknown"));
    }
    assert_eq!(linked.sent(), 1);

    let never = linked.vault.capability("action.bearer.never", linked.write.connection);
    let mut request = linked.vault.named_request(&never, &json!({"q": "a"}), "late");
    request.set_timeout(Duration::from_millis(300));
    let late = linked.vault.send(request).await.expect_err("never answers");
    assert_eq!(late.reason, "upstream_timeout");
    let again = linked.run_as(&never, json!({"q": "a"}), "late").await.expect_err("unknown");
    assert_eq!((again.kind, again.reason), conflict("outcome_unknown"));
    assert_eq!(linked.sent(), 2);
}

/// Whoever was at work on it is gone: a process that was killed, as far as the store can tell.
#[tokio::test]
async fn a_run_whose_lease_is_over_is_unknown_even_if_it_still_ends() {
    let linked = Arc::new(Linked::new().await);
    let (permits, running) = linked.hold().await;
    linked.world.clock.advance(Duration::from_secs(69));
    eventually("there is a lease", async || linked.vault.service.ready().is_ok()).await;
    assert_eq!(linked.refusal().await, conflict("idempotency_in_progress"));
    linked.world.clock.advance(Duration::from_secs(2));
    eventually("there is a lease", async || linked.vault.service.ready().is_ok()).await;
    assert_eq!(linked.refusal().await, conflict("outcome_unknown"));
    permits.add_permits(1);
    running.await.expect("joins").expect("was only slow");
    assert_eq!(linked.refusal().await, conflict("outcome_unknown"));
    assert_eq!(linked.sent(), 1);
}

#[tokio::test]
async fn a_run_of_which_nothing_reached_the_app_or_that_it_refused_does_not_count() {
    let linked = Linked::new().await;
    for status in [401, 429] {
        linked.world.upstream.next([Next::Status(status, &[])]);
        let refused = linked.run().await.expect("answers");
        assert_eq!((refused.status, refused.replayed), (status.into(), false));
    }
    let sent = linked.sent();
    let inside = linked.vault.link("inside", bearer(CANARY)).await.expect("linked");
    let inside = linked.vault.capability("action.inside.write-echo", Some(inside));
    let without = Capability { connection: None, ..linked.write.clone() };
    for (capability, reason) in [(&inside, "address_refused"), (&without, "connection_unusable")] {
        for _ in 0..2 {
            let failed = linked.run_as(capability, tea(), NAME).await.expect_err("cannot run");
            assert_eq!(failed.reason, reason);
        }
    }
    assert_eq!(linked.sent(), sent);
    let ran = linked.run().await.expect("runs");
    assert_eq!((ran.status, ran.replayed), (200, false));
}

#[tokio::test]
async fn a_key_that_was_cut_gets_no_stored_answer() {
    let linked = Linked::new().await;
    linked.run().await.expect("runs");
    let read = linked.vault.capability("action.bearer.read-echo", linked.write.connection);
    for scope in
        [Scope::Key(linked.write.key), Scope::Connection(linked.write.connection.expect("linked"))]
    {
        let cut = linked.world.issuance.log.commit(scope);
        linked.vault.heard_of(cut, &read).await;
        assert_eq!(linked.refusal().await.0, ErrorKind::Stale);
    }
    let mut bare = linked.vault.named_request(&linked.write, &tea(), NAME);
    bare.metadata_mut().clear();
    let refused = linked.vault.send(bare).await.expect_err("no capability");
    assert_eq!(refused.kind, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn of_an_answer_that_is_too_large_it_is_kept_that_it_was_given() {
    let mut world = World::new().await;
    world.largest_answer_bytes = 1 << 20;
    let linked = Linked::of(world).await;
    let bytes = linked.vault.capability("action.bearer.bytes", linked.write.connection);
    for (name, count, kept) in [("1", 256 << 10, true), ("2", (256 << 10) + 1, false)] {
        let inputs = json!({ "count": count });
        let first = linked.run_as(&bytes, inputs.clone(), name).await.expect("runs");
        assert_eq!(first.outputs_json.len(), count);
        let again = linked.run_as(&bytes, inputs, name).await;
        if kept {
            assert_eq!(again.expect("is known"), RunActionResponse { replayed: true, ..first });
        } else {
            let again = again.expect_err("was too large");
            assert_eq!(
                (again.kind, again.reason.as_str()),
                (ErrorKind::Conflict, "response_not_kept")
            );
            assert_eq!(again.facts["upstream_status"], "200");
        }
    }
    assert_eq!(linked.sent(), 2);
}

#[tokio::test]
async fn what_is_kept_is_sealed_for_its_run() {
    let linked = Linked::new().await;
    linked.run().await.expect("runs");
    for name in ["2", "3"] {
        // Later ones have greater ids.
        linked.world.clock.advance(Duration::from_millis(2));
        let inputs = json!({"title": format!("answer-{name}")});
        linked.run_as(&linked.write, inputs, name).await.expect("runs");
    }
    let database = linked.world.database().await;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    database.read().execute_unprepared(checkpoint).await.expect("written");
    let file = std::fs::read(linked.world.file()).expect("readable");
    for secret in [NAME, "answer-2", "answer-3", CANARY] {
        let found = file.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} is at rest");
    }

    // Threat 14: an answer moved to another run does not open.
    let moved = "UPDATE idempotency SET answer = (SELECT answer FROM idempotency AS other \
                 WHERE other.id < idempotency.id LIMIT 1) \
                 WHERE id = (SELECT max(id) FROM idempotency)";
    database.read().execute_unprepared(moved).await.expect("tampered");
    let refused = linked.run_as(&linked.write, json!({"title": "answer-3"}), "3").await;
    assert_eq!(refused.expect_err("of another run").kind, ErrorKind::Internal);
    assert!(linked.run().await.expect("is as it was").replayed);
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused() {
    let linked = Linked::new().await;
    for bad in ["a\u{e9}", "line\nbreak", &"x".repeat(256)] {
        let refused = linked.run_as(&linked.write, tea(), bad).await.expect_err("no key");
        assert_eq!(refused.kind, ErrorKind::Invalid);
    }
    assert_eq!(linked.sent(), 0);
}
