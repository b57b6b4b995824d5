//! Triggers through its gRPC face, with a double of issuance's log and SQLite in a file.

use std::{sync::Arc, time::Duration};

use keystile_contract::{
    Identity, SealKeys,
    proto::{
        issuance::v1::log_service_server::LogServiceServer,
        triggers::v1::{
            GetStatusRequest, GetStatusResponse, trigger_service_client::TriggerServiceClient,
        },
    },
    transport,
};
use keystile_domain::{KeyId, Role, Scope};
use keystile_sql::{Database, Pool};
use keystile_testkit::{LogDouble, MockClock, SeededEntropy, log::history};
use keystile_triggers::{Config, Deps, Service};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct World {
    clock: MockClock,
    issuance: LogDouble,
    entropy: Arc<SeededEntropy>,
    folder: TempDir,
}

struct Running {
    service: Service,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let clock = MockClock::default();
        let issuance = LogDouble::new(clock.clone());
        {
            let mut state = issuance.state();
            state.renew_interval = Duration::from_millis(20);
            // Each row is sent once, so that the tests can count them.
            state.pushes = false;
        }
        Self {
            clock,
            issuance,
            entropy: Arc::new(SeededEntropy::new(1)),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Commits rows, each of a key of its own, until the log ends at `head`.
    fn commit_to(&self, head: u64) {
        for seq in self.issuance.head().seq + 1..=head {
            self.issuance.commit(Scope::Key(KeyId::from_uuid(uuid::Uuid::from_u128(seq.into()))));
        }
    }

    async fn start(&self) -> Running {
        let url = format!("sqlite://{}/triggers.db", self.folder.path().display());
        let server = LogServiceServer::new(self.issuance.clone());
        let deps = Deps {
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy.clone(),
            seal_keys: SealKeys::derive(Role::Triggers, &[(1, [7; 32])]),
            vault: transport::deferred().0,
            issuance: transport::local(server, Identity::Role(Role::Triggers)),
            database: Database::connect(&url.into(), Pool::default()).await.expect("connects"),
        };
        let service = keystile_triggers::build(Config::default(), deps).await.expect("builds");
        assert!(service.ready().is_err());
        let stop = CancellationToken::new();
        let (running, token) = (service.clone(), stop.clone());
        let task = tokio::spawn(async move { running.run(token).await });
        Running { service, stop, task }
    }
}

impl Running {
    async fn status(&self) -> GetStatusResponse {
        let routes = self.service.grpc().prepare();
        let transport = transport::local(routes, Identity::Role(Role::Gateway));
        let answer = TriggerServiceClient::new(transport).get_status(GetStatusRequest {}).await;
        answer.expect("answers").into_inner()
    }

    /// Waits until the log is stored up to there, ten seconds at most.
    async fn reaches(&self, seq: u64) -> GetStatusResponse {
        let wait = async {
            loop {
                let status = self.status().await;
                if status.lease_current
                    && status.applied.as_ref().is_some_and(|applied| applied.seq == seq)
                {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("is applied")
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("ends");
    }
}

#[tokio::test]
async fn a_restart_resumes_from_what_was_stored() {
    let world = World::new();
    world.commit_to(3);
    let running = world.start().await;
    assert_eq!(running.reaches(3).await.tombstones, 3);
    assert!(running.service.ready().is_ok());
    world.commit_to(5);
    running.reaches(5).await;
    running.stop().await;

    world.commit_to(6);
    let running = world.start().await;
    // The five from before the restart, and the one from while it was down.
    assert_eq!(running.reaches(6).await.tombstones, 6);
    running.stop().await;
    let state = world.issuance.state();
    assert_eq!(state.resumed_from, [None, Some(5)]);
    assert_eq!(state.sent, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_log_that_no_longer_reaches_back_starts_over() {
    let world = World::new();
    world.commit_to(3);
    let running = world.start().await;
    running.reaches(3).await;
    running.stop().await;
    world.commit_to(9);
    world.issuance.state().floor = 7;
    let running = world.start().await;
    assert_eq!(running.reaches(9).await.tombstones, 2);
    running.stop().await;
}

#[tokio::test]
async fn another_history_starts_over() {
    let world = World::new();
    world.commit_to(3);
    let running = world.start().await;
    running.reaches(3).await;
    running.stop().await;
    {
        let mut state = world.issuance.state();
        state.history = history(2);
        state.rows.truncate(1);
    }
    let running = world.start().await;
    let status = running.reaches(1).await;
    assert_eq!(status.tombstones, 1);
    assert_eq!(status.applied.expect("applied").history, history(2).to_string());
    running.stop().await;
}
