//! A running Keystile, in whatever shape the run asks for.

mod demo;
pub mod deployment;
mod member;
mod newcomer;
mod published;
mod services;

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use keystile_contract::{
    Transport, proto::verification::v1::verification_service_client::VerificationServiceClient,
};
use keystile_domain::{Clock as _, Role};
use keystile_runtime::SystemClock;
use reqwest::Url;
use serde_json::{Value, json};

use self::{demo::Demo, newcomer::Newcomer, published::Published, services::Services};
use crate::{
    Api,
    shape::{Servers, Shape},
};

/// What `bootstrap` made: a team, its owner, a management token.
#[derive(Debug, Clone)]
pub struct Team {
    /// `team_…`
    pub id: String,
    /// The management token.
    pub token: String,
}

/// A running Keystile and the folder it lives in. Dropped, it is killed and the folder removed.
pub struct Cluster {
    processes: Processes,
    demo: Demo,
    /// Replicas take turns.
    turn: AtomicUsize,
    seen: Arc<Mutex<Vec<String>>>,
    // After the processes, so that they end first.
    folder: tempfile::TempDir,
}

enum Processes {
    One(Box<Newcomer>),
    Apart(Box<Services>),
    Published(Published),
}

impl Cluster {
    /// Starts Keystile in a fresh folder and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start() -> Self {
        Self::start_with(&[]).await.0
    }

    /// The same, with these variables in the environment of every process.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_set(settings: &[(&str, &str)]) -> Self {
        Self::in_shape(Shape::of_run(), settings, &[]).await.0
    }

    /// The same, but never in a deployment that is somewhere else: what listens on this machine's
    /// loopback can be reached.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_here(settings: &[(&str, &str)]) -> Self {
        let shape = match Shape::of_run() {
            Shape::Compose => Shape::Embedded,
            shape => shape,
        };
        Self::in_shape(shape, settings, &[]).await.0
    }

    /// The same, as so many processes of each role on Postgres and Redis.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_replicas(replicas: usize, settings: &[(&str, &str)]) -> Self {
        Self::in_shape(Shape::Services(replicas), settings, &[]).await.0
    }

    /// The same, with a team for each name.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_with(teams: &[&str]) -> (Self, Vec<Team>) {
        Self::in_shape(Shape::of_run(), &[], teams).await
    }

    /// `cargo run`, whatever shape the run asks for.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn newcomer() -> Self {
        Self::in_shape(Shape::Embedded, &[], &[]).await.0
    }

    /// `cargo run` with a team for each name, whatever shape the run asks for.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn newcomer_with(teams: &[&str]) -> (Self, Vec<Team>) {
        Self::in_shape(Shape::Embedded, &[], teams).await
    }

    /// The same, with these variables in its environment.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn newcomer_set(settings: &[(&str, &str)]) -> Self {
        Self::in_shape(Shape::Embedded, settings, &[]).await.0
    }

    async fn in_shape(
        shape: Shape,
        settings: &[(&str, &str)],
        names: &[&str],
    ) -> (Self, Vec<Team>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let settings: Vec<(String, String)> = settings.collect();
        let one =
            |servers| Processes::One(Box::new(Newcomer::new(path, settings.clone(), servers)));
        let processes = match shape {
            Shape::Embedded => one(None),
            Shape::Servers => one(Some(Servers::start())),
            Shape::Services(replicas) => {
                let replicas = Role::ALL.map(|role| (role, replicas));
                let services = Services::new(path, settings, &replicas, Servers::start());
                Processes::Apart(Box::new(services))
            }
            Shape::Compose => Processes::Published(Published::of_run()),
        };
        let (demo, turn, seen) = (Demo::default(), AtomicUsize::default(), Arc::default());
        let mut cluster = Self { processes, demo, turn, seen, folder };
        // A single process holds its data, so it is told before it starts; services are told while
        // they run.
        if matches!(cluster.processes, Processes::One(_)) {
            let teams = names.iter().map(|name| cluster.bootstrap(name)).collect();
            cluster.launch().await;
            return (cluster, teams);
        }
        if !matches!(cluster.processes, Processes::Published(_)) {
            cluster.launch().await;
        }
        let teams = names.iter().map(|name| cluster.bootstrap(name)).collect();
        let owner = cluster.bootstrap("demo");
        cluster.demo = demo::make(&cluster, owner).await;
        (cluster, teams)
    }

    /// A command of the binary, on the host of a process that has everything.
    ///
    /// # Panics
    /// If the roles run apart.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let Processes::One(process) = &self.processes else { panic!("they run apart") };
        process.command(arguments)
    }

    fn bootstrap(&self, name: &str) -> Team {
        // A deployment that is shared may have one of that name.
        let unique = SystemClock.now().unix_timestamp_nanos();
        let email = format!("{name}-{unique}@example.com");
        let arguments = ["bootstrap", "--json", "--email", &email, "--team", name];
        let told = match &self.processes {
            Processes::One(process) => process.run(&arguments),
            Processes::Apart(services) => services.run(&arguments),
            Processes::Published(published) => published.run(&arguments),
        };
        let made: Value = serde_json::from_slice(&told).expect("bootstrap prints JSON");
        let text = |field: &str| made[field].as_str().expect(field).to_owned();
        Team { id: text("teamId"), token: text("token") }
    }

    /// Starts what is not running, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn launch(&mut self) {
        match &mut self.processes {
            Processes::One(process) => process.launch().await,
            Processes::Apart(services) => services.launch().await,
            Processes::Published(published) => published.launch().await,
        }
    }

    fn members(&mut self) -> Vec<&mut member::Member> {
        match &mut self.processes {
            Processes::One(process) => vec![&mut process.member],
            Processes::Apart(services) => services.members.iter_mut().collect(),
            Processes::Published(_) => Vec::new(),
        }
    }

    /// Ends every process at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Processes::Published(published) = &self.processes {
            published.kill();
        }
        for member in self.members() {
            member.kill();
        }
    }

    /// Asks every process to end and waits for all. The first status that is no success, if there
    /// is one.
    ///
    /// # Panics
    /// If one does not run.
    pub async fn stop(&mut self) -> ExitStatus {
        if let Processes::Published(published) = &self.processes {
            return published.stop();
        }
        let mut status = ExitStatus::default();
        for member in self.members() {
            member.terminate();
        }
        for member in self.members() {
            let ended = member.ended().await;
            if status.success() {
                status = ended;
            }
        }
        status
    }

    fn servers(&mut self) -> Option<&mut Servers> {
        match &mut self.processes {
            Processes::One(process) => process.servers.as_mut(),
            Processes::Apart(services) => Some(&mut services.servers),
            Processes::Published(_) => None,
        }
    }

    /// The names of all that can be lost: processes of Keystile, and the servers it stands on.
    pub fn parts(&mut self) -> Vec<String> {
        let servers = self.servers().map_or(&[][..], |_| &["postgres", "redis"]);
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let members = self.members().into_iter().map(|member| member.name.clone());
        // The sandbox is somebody else's app.
        members.filter(|name| name != "sandbox").chain(servers).collect()
    }

    /// Ends one of the parts at once.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn lose(&mut self, part: &str) {
        if let Processes::Apart(services) = &mut self.processes {
            return services.lose(part);
        }
        match (part, self.servers()) {
            ("postgres", Some(servers)) => servers.postgres.stop(),
            ("redis", Some(servers)) => servers.redis.stop(),
            _ => self.member(part).kill(),
        }
    }

    /// Starts one of the parts again, and waits until everything is ready.
    ///
    /// # Panics
    /// If there is no such part, or something does not become ready.
    pub async fn restore(&mut self, part: &str) {
        if let Processes::Apart(services) = &mut self.processes {
            return services.restore(part).await;
        }
        match (part, self.servers()) {
            ("postgres", Some(servers)) => servers.postgres.resume(),
            ("redis", Some(servers)) => servers.redis.resume(),
            _ => match &mut self.processes {
                Processes::One(process) => process.launch().await,
                Processes::Apart(_) | Processes::Published(_) => self.member(part).launch(),
            },
        }
    }

    fn member(&mut self, name: &str) -> &mut member::Member {
        let found = self.members().into_iter().find(|member| member.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The process that verifies keys (the first of several) and where it listens for who asks.
    ///
    /// # Panics
    /// If it does not run, or is not published.
    #[must_use]
    pub fn verifier(&mut self) -> (u32, SocketAddr) {
        let (address, name) = match &self.processes {
            Processes::One(process) => (process.verification_address(), "keystile"),
            Processes::Apart(services) => (services.of(Role::Verification)[0], "verification-1"),
            Processes::Published(_) => panic!("verification is not published"),
        };
        (self.member(name).id().expect("it runs"), address)
    }

    /// How much of a part is in memory, KiB; nothing of what is no process of Keystile.
    #[must_use]
    pub fn memory(&mut self, part: &str) -> Option<u64> {
        self.members().into_iter().find(|member| member.name == part)?.memory()
    }

    /// The folder in which it was started.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it and its servers have written to disk, by file, but for what holds secrets on
    /// purpose.
    ///
    /// # Panics
    /// If a file cannot be read.
    #[must_use]
    pub fn stored(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        files(self.folder.path(), &mut found);
        for folder in self.servers().map(|servers| servers.folders()).unwrap_or_default() {
            files(&folder, &mut found);
        }
        found
    }

    /// All that it wrote to standard output and standard error.
    #[must_use]
    pub fn log(&mut self) -> String {
        if let Processes::Published(published) = &self.processes {
            return published.log();
        }
        self.members().iter().map(|member| member.log()).collect()
    }

    /// A value of the demo: `KEYSTILE_DEMO_TOKEN` of a key, `KEYSTILE_DEMO_MANAGEMENT_TOKEN`,
    /// `KEYSTILE_DEMO_SANDBOX_TOKEN`.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn demo(&self, name: &str) -> String {
        match &self.processes {
            Processes::One(_) => Demo::read(&self.folder.path().join(".keystile")).get(name),
            Processes::Apart(_) | Processes::Published(_) => self.demo.get(name),
        }
    }

    fn api(&self, at: SocketAddr) -> Api {
        let base = Url::parse(&format!("http://{at}")).expect("a URL");
        Api::new(base, Arc::clone(&self.seen))
    }

    fn next(&self, replicas: &[SocketAddr]) -> SocketAddr {
        replicas[self.turn.fetch_add(1, Ordering::Relaxed) % replicas.len()]
    }

    /// The gateway, as nobody. Replicas take turns.
    #[must_use]
    pub fn gateway(&self) -> Api {
        self.api(self.gateway_address())
    }

    /// The gateway's socket. Replicas take turns.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddr {
        match &self.processes {
            Processes::One(process) => process.gateway(),
            Processes::Apart(services) => self.next(&services.of(Role::Gateway)),
            Processes::Published(published) => published.gateway,
        }
    }

    /// The way to verification's listener, as a program that may verify keys.
    ///
    /// # Panics
    /// Where it is not published.
    #[must_use]
    pub fn caller(&self) -> Transport {
        match &self.processes {
            Processes::One(process) => process.verification(),
            Processes::Apart(services) => services.verification(),
            Processes::Published(_) => panic!("verification is not published"),
        }
    }

    /// Verification over gRPC.
    ///
    /// # Panics
    /// As [`Cluster::caller`].
    #[must_use]
    pub fn verification(&self) -> VerificationServiceClient<Transport> {
        VerificationServiceClient::new(self.caller())
    }

    /// The telemetry listener of each process.
    #[must_use]
    pub fn telemetry(&self) -> Vec<Api> {
        let at = match &self.processes {
            Processes::One(process) => vec![process.telemetry()],
            Processes::Apart(services) => services.telemetry(),
            Processes::Published(_) => Vec::new(),
        };
        at.into_iter().map(|at| self.api(at)).collect()
    }

    /// The console, as nobody. Replicas take turns.
    #[must_use]
    pub fn console(&self) -> Api {
        self.api(match &self.processes {
            Processes::One(process) => process.console(),
            Processes::Apart(services) => self.next(&services.of(Role::Console)),
            Processes::Published(published) => published.console,
        })
    }

    /// How many followers a cut waits for.
    #[must_use]
    pub fn followers(&self) -> u64 {
        let replicas = match &self.processes {
            Processes::One(_) | Processes::Published(_) => 1,
            Processes::Apart(services) => services.of(Role::Vault).len(),
        };
        // Verification, vault, triggers.
        3 * u64::try_from(replicas).expect("few")
    }

    /// The console, with the demo team's management token.
    #[must_use]
    pub fn manage(&self) -> Api {
        self.console().with_token(&self.demo("KEYSTILE_DEMO_MANAGEMENT_TOKEN"))
    }

    /// Every body and header that was answered so far.
    #[must_use]
    pub fn answers(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection to the sandbox, made as `team`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn sandbox_connection(&self, team: &Api) -> String {
        self.connection_with(team, &self.demo("KEYSTILE_DEMO_SANDBOX_TOKEN")).await
    }

    async fn connection_with(&self, team: &Api, token: &str) -> String {
        let body = json!({
            "appKey": "sandbox", "name": "sandbox account", "credential": {"bearerToken": token},
        });
        let made = team.post("/api/manage/v1/connections", &body).await.expect(201);
        made.json["id"].as_str().expect("an id").to_owned()
    }

    /// A key of `team` for the sandbox, allowed `components`: its id and its token.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn key(&self, team: &Api, connection: &str, components: &[&str]) -> (String, String) {
        let body = json!({
            "name": "test key", "environment": "dev",
            "connections": [{
                "appKey": "sandbox", "connectionId": connection, "allowedComponents": components,
            }],
        });
        let made = team.post("/api/manage/v1/keys", &body).await.expect(201);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&made.json["key"]["id"]), text(&made.json["token"]))
    }
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        // `secrets` and the demo's files are where secrets belong: 0600, beside the databases.
        if matches!(name.as_deref(), Some("secrets" | "demo.env" | "cli.toml" | "operator.token")) {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            match fs::read(&path) {
                Ok(bytes) => found.push((path.display().to_string(), bytes)),
                // A server that still runs removes its own.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}
