//! Every role a process of its own, or several, that trust nobody.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keystile_contract::{Identity, Transport};
use keystile_domain::Role;
use keystile_runtime::{SystemClock, SystemEntropy, grpc, mtls::Credentials};
use keystile_testkit::Ports;

use super::member::{Member, START_TIMEOUT, run};
use crate::shape::Servers;

/// The program that the tests are, to verification.
const CALLER: &str = "tests";

pub(super) struct Services {
    pub(super) members: Vec<Member>,
    pub(super) servers: Servers,
    places: Vec<Place>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    _ports: Ports,
}

/// Where a replica of a role listens.
struct Place {
    role: Role,
    listen: SocketAddr,
    telemetry: SocketAddr,
}

/// What only its owner reads, out of the way of who searches the rest.
fn private(folder: &Path) -> PathBuf {
    folder.join("secrets")
}

fn certificates(folder: &Path, identity: &str) -> PathBuf {
    private(folder).join("tls").join(identity)
}

impl Services {
    /// Makes everything that an operator makes before the first start. `settings` are variables
    /// beside those of the shape.
    pub(super) fn new(
        folder: &Path,
        settings: Vec<(String, String)>,
        replicas: usize,
        servers: Servers,
    ) -> Self {
        let mut ports = Ports::reserve();
        let mut port = || SocketAddr::from(([127, 0, 0, 1], ports.take()));
        let roles = Role::ALL.into_iter().flat_map(|role| std::iter::repeat_n(role, replicas));
        let places: Vec<_> =
            roles.map(|role| Place { role, listen: port(), telemetry: port() }).collect();
        let (sandbox, sandbox_probes) = (port(), port());

        let called = [Role::Issuance, Role::Verification, Role::Vault, Role::Triggers];
        let urls = called.map(|role| {
            let at = places.iter().filter(|place| place.role == role);
            let at: Vec<_> = at.map(|place| place.listen.to_string()).collect();
            let name = format!("KEYSTILE_{}__URL", role.as_str().to_ascii_uppercase());
            (name, format!("https://{}", at.join(",")))
        });
        let mut environment: Vec<_> = settings.into_iter().chain(urls).collect();
        let sandbox_url = format!("http://{sandbox}");
        environment.push(("KEYSTILE_SANDBOX__URL".to_owned(), sandbox_url));

        configure(folder, &servers);
        let mut members: Vec<_> = places
            .iter()
            .enumerate()
            .map(|(index, place)| {
                let role = place.role.as_str();
                let section = role.to_ascii_uppercase();
                let own = [
                    (format!("KEYSTILE_{section}__LISTEN"), place.listen.to_string()),
                    ("KEYSTILE_TELEMETRY__LISTEN".to_owned(), place.telemetry.to_string()),
                    ("KEYSTILE_CONFIG".to_owned(), config(folder, role)),
                ];
                let environment = environment.iter().cloned().chain(own).collect();
                let name = format!("{role}-{}", index % replicas + 1);
                Member::new(&name, &["serve", "--roles", role], environment, folder)
            })
            .collect();
        let own = [
            ("KEYSTILE_SANDBOX__LISTEN".to_owned(), sandbox.to_string()),
            ("KEYSTILE_TELEMETRY__LISTEN".to_owned(), sandbox_probes.to_string()),
        ];
        let of_sandbox = environment.iter().cloned().chain(own).collect();
        members.push(Member::new("sandbox", &["sandbox"], of_sandbox, folder));
        for (role, _) in servers.databases() {
            let config = [("KEYSTILE_CONFIG".to_owned(), config(folder, role))];
            let _ = run(folder, &config, &["migrate", "--roles", role]);
        }
        Self { members, servers, places, environment, folder: folder.to_owned(), _ports: ports }
    }

    /// Starts every process at once, in no order, and waits until all are ready.
    pub(super) async fn launch(&mut self) {
        for member in &mut self.members {
            member.launch();
        }
        self.ready().await;
    }

    /// Waits until every process says that it is ready.
    pub(super) async fn ready(&mut self) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        for (place, member) in self.places.iter().zip(&mut self.members) {
            let url = format!("http://{}/readyz", place.telemetry);
            let ready = async {
                while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
                {
                    member.expect_running();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let in_time = tokio::time::timeout(START_TIMEOUT, ready).await.is_ok();
            assert!(in_time, "{} did not become ready:\n{}", member.name, member.log());
        }
    }

    /// Runs a command where the console runs.
    pub(super) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let config = ("KEYSTILE_CONFIG".to_owned(), config(&self.folder, "console"));
        let environment: Vec<_> = self.environment.iter().cloned().chain([config]).collect();
        run(&self.folder, &environment, arguments)
    }

    /// Where the replicas of a role listen.
    pub(super) fn of(&self, role: Role) -> Vec<SocketAddr> {
        let places = self.places.iter().filter(|place| place.role == role);
        places.map(|place| place.listen).collect()
    }

    pub(super) fn telemetry(&self) -> Vec<SocketAddr> {
        self.places.iter().map(|place| place.telemetry).collect()
    }

    /// Verification, for a program with a certificate.
    pub(super) fn verification(&self) -> Transport {
        let caller = Identity::caller(CALLER).expect("a name");
        let dir = certificates(&self.folder, CALLER);
        let credentials = Credentials::read(&dir, &caller).expect("issued");
        let at: Vec<_> = self.of(Role::Verification).iter().map(ToString::to_string).collect();
        let peers = format!("https://{}", at.join(",")).parse().expect("places");
        let tls = credentials.client(Role::Verification).expect("usable");
        grpc::peer(Role::Verification, peers, tls, Arc::new(SystemClock), Arc::new(SystemEntropy))
    }
}

fn config(folder: &Path, role: &str) -> String {
    private(folder).join(format!("{role}.toml")).display().to_string()
}

/// The secrets, the certificates, and from them a configuration for each role.
fn configure(folder: &Path, servers: &Servers) {
    let master = private(folder).join("master").display().to_string();
    let authority = private(folder).join("authority").display().to_string();
    let keystile = |arguments: &[&str]| drop(run(folder, &[], arguments));
    keystile(&["--data-dir", &master, "secrets", "init"]);
    keystile(&["certs", "init", "--dir", &authority]);
    for role in Role::ALL.map(Role::as_str) {
        let (out, tls) = (config(folder, role), certificates(folder, role).display().to_string());
        keystile(&["--data-dir", &master, "secrets", "derive", "--role", role, "--out", &out]);
        keystile(&["certs", "issue", "--dir", &authority, "--role", role, "--out", &tls]);
        let database = servers.databases().find(|(of, _)| *of == role);
        let database = database.map(|(_, url)| format!("[{role}]\ndatabase_url = \"{url}\"\n"));
        let cache = (role == Role::Verification.as_str())
            .then(|| format!("[cache]\nurl = \"{}\"\n", servers.cache()));
        let derived = fs::read_to_string(&out).expect("derived");
        let tls = format!("[tls]\ndir = \"{tls}\"\n");
        let text = [Some(derived), Some(tls), database, cache].into_iter().flatten();
        let text: String = text.collect();
        fs::write(&out, text).expect("written");
    }
    let out = certificates(folder, CALLER).display().to_string();
    keystile(&["certs", "issue", "--dir", &authority, "--caller", CALLER, "--out", &out]);
}
