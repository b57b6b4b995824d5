//! A running Keystile: one process, started as a newcomer starts it, on what the run asks for.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use keystile_contract::{
    Transport, proto::verification::v1::verification_service_client::VerificationServiceClient,
    transport,
};
use reqwest::Url;
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::{Api, shape::Shape};

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
    folder: tempfile::TempDir,
    shape: Shape,
    /// Configuration beside that of the shape.
    settings: Vec<(String, String)>,
    ports: [u16; 4],
    /// How often it was started: each start prints one screen.
    starts: usize,
    child: Option<Child>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Ports that were free a moment ago: gateway, console, verification, telemetry.
fn free_ports() -> Result<[u16; 4]> {
    let listeners: Vec<_> =
        (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?;
    ports.try_into().map_err(|_| anyhow::anyhow!("four ports"))
}

/// The binary under test, built beside the tests.
fn binary() -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let target = tests.parent().and_then(Path::parent).context("a target folder")?;
    let binary = target.join("keystile");
    if !binary.exists() {
        bail!("{} is missing: run `cargo build --package keystile` first", binary.display());
    }
    Ok(binary)
}

impl Cluster {
    /// Starts Keystile in a fresh folder and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start() -> Self {
        Self::start_with(&[]).await.0
    }

    /// The same, with these variables in its environment.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_set(settings: &[(&str, &str)]) -> Self {
        Self::begin(settings, &[]).await.0
    }

    /// The same, with a team for each name bootstrapped before the start.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn start_with(teams: &[&str]) -> (Self, Vec<Team>) {
        Self::begin(&[], teams).await
    }

    async fn begin(settings: &[(&str, &str)], teams: &[&str]) -> (Self, Vec<Team>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let ports = free_ports().expect("free ports");
        let (shape, seen) = (Shape::start(), Arc::default());
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let settings = settings.collect();
        let mut cluster = Self { folder, shape, settings, ports, starts: 0, child: None, seen };
        if cluster.shape.needs_migration() {
            cluster.run(&["migrate"]);
        }
        let teams = teams.iter().map(|name| cluster.bootstrap(name)).collect();
        cluster.launch().await;
        (cluster, teams)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary().expect("the binary"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("KEYSTILE_DATA_DIR", self.data_dir()).envs(self.shape.environment());
        let sections = ["GATEWAY", "CONSOLE", "VERIFICATION", "TELEMETRY"];
        for (section, port) in sections.iter().zip(self.ports) {
            command.env(format!("KEYSTILE_{section}__LISTEN"), format!("127.0.0.1:{port}"));
        }
        // The most it can say: the secrets test reads all of it.
        command.env("KEYSTILE_TELEMETRY__LOG", "trace").env("RUST_BACKTRACE", "1");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command that ends by itself; what it printed.
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command().args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn bootstrap(&self, name: &str) -> Team {
        let email = format!("{name}@example.com");
        let told = self.run(&["bootstrap", "--json", "--email", &email, "--team", name]);
        let made: Value = serde_json::from_slice(&told).expect("bootstrap prints JSON");
        let text = |field: &str| made[field].as_str().expect(field).to_owned();
        Team { id: text("teamId"), token: text("token") }
    }

    /// Starts the process, which must not be running, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; shows its log.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("a log file");
        let mut command = self.command();
        command.arg("dev").stderr(log.try_clone().expect("a log file")).stdout(log);
        self.child = Some(command.spawn().expect("it starts"));
        self.starts += 1;
        let ready = async {
            loop {
                // The screen is printed once everything is ready and the demo is made.
                if self.log().matches("Ctrl-C stops it").count() == self.starts {
                    return;
                }
                let child = self.child.as_mut().expect("running");
                if let Ok(Some(status)) = child.try_wait() {
                    panic!("it ended with {status}:\n{}", self.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(START_TIMEOUT, ready).await.is_ok();
        assert!(in_time, "it did not become ready:\n{}", self.log());
    }

    /// Ends the process at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to end and waits for it.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        tokio::task::spawn_blocking(move || child.wait()).await.expect("joins").expect("it ended")
    }

    /// The folder in which it was started.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its `data_dir`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join(".keystile")
    }

    /// All that it and its servers have written to disk, by file, but for what holds secrets on
    /// purpose.
    ///
    /// # Panics
    /// If a file cannot be read.
    #[must_use]
    pub fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        files(self.folder.path(), &mut found);
        for folder in self.shape.folders() {
            files(&folder, &mut found);
        }
        found
    }

    fn demo_file(&self) -> PathBuf {
        self.data_dir().join("demo.env")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("keystile.log")
    }

    /// All that it wrote to standard output and standard error.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// A value of `demo.env`.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn demo(&self, name: &str) -> String {
        let file = fs::read_to_string(self.demo_file()).expect("demo.env");
        let line = file.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not in demo.env")).trim_matches('\'').to_owned()
    }

    fn api(&self, port: u16) -> Api {
        let base = Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
        Api::new(base, Arc::clone(&self.seen))
    }

    /// The gateway, as nobody.
    #[must_use]
    pub fn gateway(&self) -> Api {
        self.api(self.ports[0])
    }

    /// The gateway's socket.
    #[must_use]
    pub fn gateway_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// Verification's socket.
    #[must_use]
    pub fn verification_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[2]))
    }

    /// Verification over gRPC, as a program on this machine.
    ///
    /// # Panics
    /// If it does not listen.
    pub async fn verification(&self) -> VerificationServiceClient<Transport> {
        let url = format!("http://{}", self.verification_address());
        let endpoint = Endpoint::from_shared(url).expect("a URL");
        let channel = endpoint.connect().await.expect("verification listens");
        VerificationServiceClient::new(transport::remote(channel))
    }

    /// The telemetry listener of each process.
    #[must_use]
    pub fn telemetry(&self) -> Vec<Api> {
        vec![self.api(self.ports[3])]
    }

    /// The console, as nobody.
    #[must_use]
    pub fn console(&self) -> Api {
        self.api(self.ports[1])
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
        let token = self.demo("KEYSTILE_DEMO_SANDBOX_TOKEN");
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

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}
