//! One process of a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// How long a start may take on a busy machine.
pub(super) const START_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);

/// A process: how it is started, and whether it runs.
pub(super) struct Member {
    pub(super) name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    child: Option<Child>,
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

/// The command in `folder`, with nothing to read.
pub(super) fn command(folder: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(binary().expect("the binary"));
    command.current_dir(folder).stdin(Stdio::null());
    // The most it can say: the secrets test reads all of it.
    command.env("KEYSTILE_TELEMETRY__LOG", "trace").env("RUST_BACKTRACE", "1");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a command that ends by itself; what it printed.
pub(super) fn run(folder: &Path, environment: &[(String, String)], arguments: &[&str]) -> Vec<u8> {
    let output = command(folder, environment).args(arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", arguments.join(" "));
    output.stdout
}

impl Member {
    pub(super) fn new(
        name: &str,
        arguments: &[&str],
        environment: Vec<(String, String)>,
        folder: &Path,
    ) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let (name, folder) = (name.to_owned(), folder.to_owned());
        Self { name, arguments, environment, folder, child: None }
    }

    /// Sets a variable of its environment, from its next start on.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.environment.retain(|(held, _)| held != name);
        self.environment.push((name.to_owned(), value));
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it runs already.
    pub(super) fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("a log file");
        let mut command = command(&self.folder, &self.environment);
        command.args(&self.arguments).stderr(log.try_clone().expect("a log file")).stdout(log);
        self.child = Some(command.spawn().expect("it starts"));
    }

    pub(super) const fn is_launched(&self) -> bool {
        self.child.is_some()
    }

    /// # Panics
    /// If it ended by itself; shows its log.
    pub(super) fn expect_running(&mut self) {
        let child = self.child.as_mut().expect("launched");
        if let Ok(Some(status)) = child.try_wait() {
            panic!("{} ended with {status}:\n{}", self.name, self.log());
        }
    }

    /// Ends it at once, as a power cut does.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops it in the middle of whatever it does: it keeps its connections and answers nothing.
    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits until it ended.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        tokio::task::spawn_blocking(move || child.wait()).await.expect("joins").expect("it ended")
    }

    /// Its process id, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// KiB of it that are in memory.
    pub(super) fn memory(&self) -> Option<u64> {
        let pid = self.id()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        resident.trim().strip_suffix(" kB")?.parse().ok()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// All that it wrote to standard output and standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
