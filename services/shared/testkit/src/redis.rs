//! A private Redis on loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::process::{Process, free_port, wait_for};

/// A running Redis that stores nothing on disk. It ends with the test.
#[derive(Debug)]
pub struct Redis {
    // Before the folder, so that the server ends first.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Redis {
    /// Starts a server with these lines of configuration besides the port.
    ///
    /// # Panics
    /// If no server is installed, or it does not start; says what it said.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
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
        let fixed = format!(
            "bind 127.0.0.1\nport {}\ndir {}\npidfile {}\nsave \"\"\nappendonly no\n",
            self.port,
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
        self.signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.pid_file()).expect("it runs");
        let sent = Command::new("kill").args([signal, pid.trim()]).status().expect("kill runs");
        assert!(sent.success());
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    /// How to reach it without a log-in.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How that user reaches it.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
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
        let ran = Command::new("redis-cli").args(["-p", &port]).args(command).output();
        let ran = ran.expect("redis-cli runs");
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}
