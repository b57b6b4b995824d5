//! A deployment that somebody else started from docker-compose.yml: what is published of it, and its
//! compose command. All tests of a run share it, one after another.

use std::{
    net::SocketAddr,
    process::{Command, ExitStatus, Output},
    time::Duration,
};

use super::member::START_TIMEOUT;

const ROLES: [&str; 6] = ["issuance", "verification", "vault", "triggers", "gateway", "console"];

pub(super) struct Published {
    pub(super) gateway: SocketAddr,
    pub(super) console: SocketAddr,
    /// `docker-compose`, or `docker compose`.
    compose: Vec<String>,
}

impl Published {
    /// What `tests/compose` says of the deployment: `CLUSTER_GATEWAY` and `CLUSTER_CONSOLE` are
    /// addresses, `CLUSTER_COMPOSE` a command.
    #[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the run's own")]
    pub(super) fn of_run() -> Self {
        let told = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        let address = |name: &str| told(name).parse().expect("an address");
        let compose = told("CLUSTER_COMPOSE").split(' ').map(str::to_owned).collect();
        Self { gateway: address("CLUSTER_GATEWAY"), console: address("CLUSTER_CONSOLE"), compose }
    }

    fn compose(&self, arguments: &[&str]) -> Output {
        let (program, first) = self.compose.split_first().expect("a command");
        let output = Command::new(program).args(first).args(arguments).output();
        output.expect("compose runs")
    }

    fn expect(&self, arguments: &[&str]) -> Output {
        let output = self.compose(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", arguments.join(" "));
        output
    }

    /// Runs a command where the console runs.
    pub(super) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let console = ["exec", "-T", "console", "keystile"];
        self.expect(&[&console[..], arguments].concat()).stdout
    }

    pub(super) fn kill(&self) {
        self.expect(&[&["kill"][..], &ROLES].concat());
    }

    /// Compose tells no status of what it stopped: what it killed for being late, it took longer for.
    pub(super) fn stop(&self) -> ExitStatus {
        self.expect(&[&["stop"][..], &ROLES].concat()).status
    }

    pub(super) async fn launch(&self) {
        self.expect(&[&["start"][..], &ROLES].concat());
        let ready = async {
            for role in ROLES {
                while !self.compose(&["exec", "-T", role, "keystile", "ready"]).status.success() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        let in_time = tokio::time::timeout(START_TIMEOUT, ready).await.is_ok();
        assert!(in_time, "it did not become ready:\n{}", self.log());
    }

    pub(super) fn log(&self) -> String {
        let output = self.expect(&["logs", "--no-color"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
