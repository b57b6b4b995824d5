//! Every role a process of its own, or several, that trust nobody.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keystile_contract::{Identity, SealKeys, Transport};
use keystile_domain::Role;
use keystile_runtime::{
    SystemClock, SystemEntropy, grpc,
    mtls::Credentials,
    secrets::{self, Absent, Secrets},
};
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
    /// Among the replicas, from 1.
    number: usize,
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
    /// Makes everything that an operator makes before the first start of so many processes of
    /// each role. `settings` are variables beside those of the shape.
    pub(super) fn new(
        folder: &Path,
        settings: Vec<(String, String)>,
        replicas: &[(Role, usize)],
        servers: Servers,
    ) -> Self {
        let mut ports = Ports::reserve();
        let mut port = || SocketAddr::from(([127, 0, 0, 1], ports.take()));
        let roles = replicas.iter().flat_map(|(role, count)| (1..=*count).map(|n| (*role, n)));
        let places: Vec<_> = roles
            .map(|(role, number)| Place { role, number, listen: port(), telemetry: port() })
            .collect();
        let (sandbox, sandbox_probes) = (port(), port());

        let called = [Role::Issuance, Role::Verification, Role::Vault, Role::Triggers];
        let urls = called.into_iter().filter_map(|role| {
            let at = places.iter().filter(|place| place.role == role);
            let at: Vec<_> = at.map(|place| place.listen.to_string()).collect();
            (!at.is_empty()).then(|| url(role, &at))
        });
        let mut environment: Vec<_> = settings.into_iter().chain(urls).collect();
        let sandbox_url = format!("http://{sandbox}");
        environment.push(("KEYSTILE_SANDBOX__URL".to_owned(), sandbox_url));
        // Browsers know one address, whichever replica is behind it.
        let gateway = places.iter().find(|place| place.role == Role::Gateway);
        environment.extend(gateway.map(|place| {
            ("KEYSTILE_GATEWAY__PUBLIC_URL".to_owned(), format!("http://{}", place.listen))
        }));

        configure(folder, &servers);
        let mut members: Vec<_> = places
            .iter()
            .map(|place| {
                let role = place.role.as_str();
                let section = role.to_ascii_uppercase();
                let own = [
                    (format!("KEYSTILE_{section}__LISTEN"), place.listen.to_string()),
                    ("KEYSTILE_TELEMETRY__LISTEN".to_owned(), place.telemetry.to_string()),
                    ("KEYSTILE_CONFIG".to_owned(), config(folder, role)),
                ];
                let environment = environment.iter().cloned().chain(own).collect();
                let name = format!("{role}-{}", place.number);
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
            if !places.iter().any(|place| place.role.as_str() == role) {
                continue;
            }
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

    /// Starts the processes of these roles, and waits until they are ready.
    pub(super) async fn launch_only(&mut self, roles: &[Role]) {
        for (place, member) in self.places.iter().zip(&mut self.members) {
            if roles.contains(&place.role) {
                member.launch();
            }
        }
        self.ready().await;
    }

    /// Waits until every process that was started says that it is ready.
    pub(super) async fn ready(&mut self) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let all = self.places.iter().zip(&mut self.members);
        for (place, member) in all.filter(|(_, member)| member.is_launched()) {
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

    pub(super) fn telemetry_of(&self, role: Role) -> Vec<SocketAddr> {
        let places = self.places.iter().filter(|place| place.role == role);
        places.map(|place| place.telemetry).collect()
    }

    /// Verification, for a program with a certificate.
    pub(super) fn verification(&self) -> Transport {
        self.caller(&self.of(Role::Verification))
    }

    /// Some of verification's replicas, for a program with a certificate.
    pub(super) fn caller(&self, at: &[SocketAddr]) -> Transport {
        let caller = Identity::caller(CALLER).expect("a name");
        Self::way(Role::Verification, at, &caller, &certificates(&self.folder, CALLER))
    }

    /// All replicas of a role, for the console.
    pub(super) fn console(&self, to: Role) -> Transport {
        let dir = certificates(&self.folder, Role::Console.as_str());
        Self::way(to, &self.of(to), &Identity::Role(Role::Console), &dir)
    }

    fn way(to: Role, at: &[SocketAddr], from: &Identity, dir: &Path) -> Transport {
        let credentials = Credentials::read(dir, from).expect("issued");
        let at: Vec<_> = at.iter().map(ToString::to_string).collect();
        let peers = format!("https://{}", at.join(",")).parse().expect("places");
        let tls = credentials.client(to).expect("usable");
        grpc::peer(to, peers, tls, Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// What the console vouches for actors with.
    pub(super) fn seal_keys(&self) -> SealKeys {
        let (config, master) = (secrets::Config::default(), private(&self.folder).join("master"));
        let secrets = Secrets::new(&config, &master, Absent::Refuse, &SystemEntropy);
        secrets.seal_keys(Role::Console).expect("made")
    }

    /// Ends a process, or a server that they stand on, at once.
    pub(super) fn lose(&mut self, part: &str) {
        match part {
            "postgres" => self.servers.postgres.stop(),
            "redis" => self.servers.redis.stop(),
            _ => self.member(part).kill(),
        }
    }

    /// Starts a part again, and waits until everything is ready.
    pub(super) async fn restore(&mut self, part: &str) {
        match part {
            "postgres" => self.servers.postgres.resume(),
            "redis" => self.servers.redis.resume(),
            _ => self.member(part).launch(),
        }
        self.ready().await;
    }

    pub(super) fn member(&mut self, name: &str) -> &mut Member {
        let found = self.members.iter_mut().find(|member| member.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }
}

/// The variable that says where a role is.
pub(super) fn url(role: Role, at: &[String]) -> (String, String) {
    let name = format!("KEYSTILE_{}__URL", role.as_str().to_ascii_uppercase());
    (name, format!("https://{}", at.join(",")))
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
