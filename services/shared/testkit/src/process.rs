//! A server process that ends with the test that started it, however the test ends.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Starts the command that follows, ends it when its own standard input closes, which happens even
/// if the test is killed. What was frozen is thawed first, or it could not end.
const UNTIL_CLOSED: &str = "\"$@\" </dev/null & server=$!; cat >/dev/null; \
    kill -CONT $server $(cat /proc/$server/task/$server/children); kill -INT $server; wait";

/// A running server. Dropped, it is asked to end and waited for.
#[derive(Debug)]
pub(crate) struct Process {
    guard: Child,
}

impl Process {
    /// Starts `program` as `user` (its own user, if there is none) and writes what it says to
    /// `log`.
    pub(crate) fn start(program: &Path, arguments: &[&str], user: Option<u32>, log: &Path) -> Self {
        let log = File::create(log).expect("a log file");
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_CLOSED, "sh"]).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stderr(log.try_clone().expect("a handle")).stdout(log);
        if let Some(user) = user {
            command.uid(user);
        }
        Self { guard: command.spawn().expect("sh starts") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Signals the server whose process id `pid_file` begins with, and then what it has started.
pub(crate) fn signal(signal: &str, pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).expect("it runs");
    let pid = pid.lines().next().expect("its id");
    send(signal, &[pid]);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("its children");
    send(signal, &children.split_whitespace().collect::<Vec<_>>());
}

fn send(signal: &str, to: &[&str]) {
    if !to.is_empty() {
        let sent = Command::new("kill").arg(signal).args(to).status().expect("kill runs");
        assert!(sent.success());
    }
}

/// Asks until the server answers, a minute at least; then shows what it said.
pub(crate) fn wait_for(answers: impl Fn() -> bool, log: &Path) {
    for _ in 0..6_000 {
        if answers() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the server does not start: {}", fs::read_to_string(log).unwrap_or_default());
}
