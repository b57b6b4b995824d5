//! A private Postgres on loopback.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{
    ports::Ports,
    process::{Process, signal, wait_for},
    tls::Authority,
};

/// Postgres refuses to run as root: then it runs as nobody.
const NOBODY: u32 = 65_534;
/// The password of the superuser of a server that only this test can reach.
const PASSWORD: &str = "private";

/// The roles that have a database.
pub const DURABLE_ROLES: [&str; 4] = ["issuance", "vault", "triggers", "console"];
/// What an operator runs once.
const LOGINS: &str = include_str!("../../../../deploy/postgres/roles.sql");

/// A running Postgres with an empty cluster of its own. It ends with the test.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder, so that the server ends first.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    _ports: Ports,
    user: Option<u32>,
    tls: bool,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Panics
    /// If no server is installed, or it does not start; says what it said.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, and it speaks TLS, too, if there is a CA for its certificate.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    #[must_use]
    pub fn start_with(authority: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::metadata(folder.path()).expect("its owner").uid() == 0;
        let user = root.then_some(NOBODY);
        chown(folder.path(), user, None).expect("given to the server");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("written");
        chown(&password, user, None).expect("given to the server");
        if let Some(authority) = authority {
            authority.certify(folder.path(), user);
        }
        let mut ports = Ports::reserve();
        let mut server = Self {
            process: None,
            folder,
            port: ports.take(),
            _ports: ports,
            user,
            tls: authority.is_some(),
            databases: AtomicU32::new(0),
        };
        let data = server.data();
        let made = server
            .command("initdb")
            .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--no-instructions", "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        server
    }

    /// Starts the server again on what it stored.
    ///
    /// # Panics
    /// If it does not start; says what it said.
    pub fn resume(&mut self) {
        let (data, port) = (self.data(), self.port.to_string());
        let data = data.to_str().expect("a path in UTF-8");
        let certificate = [
            "-c",
            "ssl=on",
            "-c",
            "ssl_cert_file=../server.pem",
            "-c",
            "ssl_key_file=../server-key.pem",
        ];
        let arguments = [
            "-D",
            data,
            "-p",
            &port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=200",
        ];
        let arguments: Vec<_> =
            arguments.into_iter().chain(certificate.into_iter().filter(|_| self.tls)).collect();
        let log = self.folder.path().join("log");
        let started = Process::start(&binary("postgres"), &arguments, self.user, &log);
        self.process = Some(started);
        let answers = || {
            let mut ready = self.command("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            ready.status().expect("pg_isready runs").success()
        };
        wait_for(answers, &log);
    }

    /// Ends the server and starts it as a standby that takes over: on what it stored, in another
    /// timeline.
    ///
    /// # Panics
    /// If it does not start; says what it said.
    pub fn fail_over(&mut self) {
        self.psql("ALTER SYSTEM SET restore_command = 'false'", &[]);
        self.stop();
        let signal = self.data().join("recovery.signal");
        fs::write(&signal, "").expect("written");
        chown(&signal, self.user, None).expect("given to the server");
        self.resume();
        let took_over = || {
            let mut psql = self.command("psql");
            psql.args(["-X", "-q", "-A", "-t", "-c", "SELECT pg_is_in_recovery()"]);
            psql.arg(self.url("postgres", PASSWORD, "postgres"));
            psql.output().is_ok_and(|ran| ran.stdout == b"f\n")
        };
        wait_for(took_over, &self.folder.path().join("log"));
    }

    /// Ends the server; what it stored stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops it in the middle of whatever it does: it keeps its connections and answers nothing.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        signal("-STOP", &self.data().join("postmaster.pid"));
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        signal("-CONT", &self.data().join("postmaster.pid"));
    }

    /// Where it stores everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new, empty database, as a URL.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&format!("CREATE DATABASE {name}"), &[]);
        self.url("postgres", PASSWORD, &name)
    }

    /// How that user reaches that database.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs a script as the superuser, with the variables that it names.
    ///
    /// # Panics
    /// If a statement fails; says which.
    pub fn psql(&self, script: &str, variables: &[(&str, &str)]) {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        for (name, value) in variables {
            psql.arg("-v").arg(format!("{name}={value}"));
        }
        psql.arg(self.url("postgres", PASSWORD, "postgres"));
        psql.stdin(self.script(script)).stdout(Stdio::null());
        let ran = psql.output().expect("psql runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Makes the logins and databases that deploy ships, every login with this password.
    ///
    /// # Panics
    /// If a statement fails; says which.
    pub fn make_shipped_logins(&self, password: &str) {
        let variables = DURABLE_ROLES.map(|role| format!("{role}_password"));
        let variables = variables.each_ref().map(|name| (name.as_str(), password));
        self.psql(LOGINS, &variables);
    }

    /// How a durable role reaches its own database.
    #[must_use]
    pub fn url_of(&self, role: &str, password: &str) -> String {
        let login = format!("keystile_{role}");
        self.url(&login, password, &login)
    }

    fn script(&self, text: &str) -> fs::File {
        let path = self.folder.path().join("script.sql");
        fs::write(&path, text).expect("written");
        fs::File::open(path).expect("opened")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        if let Some(user) = self.user {
            command.uid(user);
        }
        command.current_dir(self.folder.path());
        command
    }
}

/// One of Postgres' programs: where Debian puts the newest, else wherever PATH says.
fn binary(name: &str) -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .max_by_key(|path| version(path));
    newest.unwrap_or_else(|| PathBuf::from(name))
}

fn version(path: &Path) -> u32 {
    let folder = path.ancestors().nth(2).and_then(Path::file_name);
    folder.and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).unwrap_or(0)
}
