//! One process, started as a newcomer starts it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use keystile_contract::{Transport, transport};
use keystile_testkit::Ports;
use tonic::transport::Endpoint;

use super::member::{Member, START_TIMEOUT, command, run};
use crate::shape::Servers;

/// 32 bytes, as the configuration spells them.
const KEY: &str = "1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(super) struct Newcomer {
    pub(super) member: Member,
    pub(super) servers: Option<Servers>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    ports: [u16; 4],
    _reserved: Ports,
    /// How often it was started: each start prints one screen.
    starts: usize,
}

impl Newcomer {
    /// `settings` are variables beside those of the shape.
    pub(super) fn new(
        folder: &Path,
        settings: Vec<(String, String)>,
        servers: Option<Servers>,
    ) -> Self {
        let mut reserved = Ports::reserve();
        let ports = [(); 4].map(|()| reserved.take());
        let sections = ["GATEWAY", "CONSOLE", "VERIFICATION", "TELEMETRY"];
        let listen = sections.iter().zip(ports).map(|(section, port)| {
            (format!("KEYSTILE_{section}__LISTEN"), format!("127.0.0.1:{port}"))
        });
        let mut environment: Vec<_> = settings.into_iter().chain(listen).collect();
        let data_dir = folder.join(".keystile").display().to_string();
        environment.push(("KEYSTILE_DATA_DIR".to_owned(), data_dir));
        environment.extend(servers.iter().flat_map(stores));
        let member = Member::new("keystile", &["dev"], environment.clone(), folder);
        let folder = folder.to_owned();
        if servers.is_some() {
            let _ = run(&folder, &environment, &["migrate"]);
        }
        Self { member, servers, environment, folder, ports, _reserved: reserved, starts: 0 }
    }

    /// Runs a command beside it.
    pub(super) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        run(&self.folder, &self.environment, arguments)
    }

    /// The same, not yet run.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.folder, &self.environment);
        command.args(arguments);
        command
    }

    pub(super) async fn launch(&mut self) {
        self.member.launch();
        self.starts += 1;
        let ready = async {
            // The screen is printed once everything is ready and the demo is made.
            while self.member.log().matches("Ctrl-C stops it").count() < self.starts {
                self.member.expect_running();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(START_TIMEOUT, ready).await.is_ok();
        assert!(in_time, "it did not become ready:\n{}", self.member.log());
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    pub(super) fn telemetry(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[3]))
    }

    pub(super) fn console(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[1]))
    }

    pub(super) fn verification_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[2]))
    }

    /// Verification, for a program on this machine.
    pub(super) fn verification(&self) -> Transport {
        let url = format!("http://{}", self.verification_address());
        transport::remote(Endpoint::from_shared(url).expect("a URL").connect_lazy())
    }
}

/// What one process is told of its servers, and the secrets that it does not make beside them.
fn stores(servers: &Servers) -> Vec<(String, String)> {
    let databases = servers
        .databases()
        .map(|(role, url)| (format!("KEYSTILE_{}__DATABASE_URL", role.to_ascii_uppercase()), url));
    let keys = ["TOKEN_KEYS", "SEALING_KEYS", "KEKS"]
        .map(|name| (format!("KEYSTILE_SECRETS__{name}"), KEY.to_owned()));
    let rest = [
        ("KEYSTILE_CACHE__URL".to_owned(), servers.cache()),
        (
            "KEYSTILE_SECRETS__OPERATOR_TOKEN".to_owned(),
            "operator-token-of-one-private-test-run".to_owned(),
        ),
    ];
    databases.chain(keys).chain(rest).collect()
}
