//! A private Redis on loopback.

mod cluster;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub use cluster::Cluster;

use crate::{
    ports::Ports,
    process::{Process, signal, wait_for},
    tls::Authority,
};

/// A running Redis that stores nothing on disk. It ends with the test.
#[derive(Debug)]
pub struct Redis {
    // Before the folder, so that the server ends first.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    _ports: Ports,
    /// TLS, and nothing else.
    tls: bool,
    settings: Vec<String>,
}

impl Redis {
    /// Starts a server with these lines of configuration besides the port.
    ///
    /// # Panics
    /// If no server is installed, or it does not start; says what it said.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, None)
    }

    /// The same over TLS, if there is a CA for its certificate.
    ///
    /// # Panics
    /// As [`Redis::start`].
    #[must_use]
    pub fn start_with(settings: &[&str], authority: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(authority) = authority {
            authority.certify(folder.path(), None);
        }
        let mut ports = Ports::reserve();
        let mut server = Self {
            process: None,
            folder,
            port: ports.take(),
            _ports: ports,
            tls: authority.is_some(),
            settings: settings.iter().map(ToString::to_string).collect(),
        };
        server.resume();
        server
    }

    /// Starts the server again, empty.
    ///
    /// # Panics
    /// If it does not start; says what it said.
    pub fn resume(&mut self) {
        let folder = self.folder.path();
        let (file, log) = (folder.join("redis.conf"), folder.join("log"));
        let port = if self.tls {
            format!(
                "port 0\ntls-port {}\ntls-cert-file server.pem\ntls-key-file server-key.pem\n\
                 tls-ca-cert-file ca.pem\ntls-auth-clients no\ntls-cluster yes",
                self.port,
            )
        } else {
            format!("port {}", self.port)
        };
        let fixed = format!(
            "dir {}\nbind 127.0.0.1\n{port}\npidfile {}\nsave \"\"\nappendonly no\n",
            folder.display(),
            self.pid_file().display(),
        );
        fs::write(&file, fixed + &self.settings.join("\n")).expect("written");
        let file = file.to_str().expect("a path in UTF-8");
        self.process = Some(Process::start(Path::new("redis-server"), &[file], None, &log));
        // Any answer will do: before a log-in, it is a refusal.
        wait_for(|| self.cli(&["ping"]).is_some_and(|told| !told.is_empty()), &log);
    }

    /// Ends the server, and with it what it held.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops it in the middle of whatever it does: it keeps its connections and answers nothing.
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        signal("-STOP", &self.pid_file());
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        signal("-CONT", &self.pid_file());
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    /// How to reach it without a log-in.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.address())
    }

    /// How that user reaches it.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}", self.scheme(), self.address())
    }

    const fn scheme(&self) -> &'static str {
        if self.tls { "rediss" } else { "redis" }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Where it writes what it is told to save.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What redis-cli prints for a command; nothing if the server is not reached.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> Option<String> {
        let port = self.port.to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port]);
        if self.tls {
            cli.arg("--tls").arg("--cacert").arg(self.folder.path().join("ca.pem"));
        }
        let ran = cli.args(command).output().expect("redis-cli runs");
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}
