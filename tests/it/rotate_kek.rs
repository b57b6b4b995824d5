//! Threat 15: `keystile vault rotate-kek` is killed at each of its steps, beside a vault that runs.
//!
//! A step is a system call that changes a file, and strace kills the process as it makes the nth of
//! them. It is the binary as it is shipped: nothing in it knows of this.

use std::process::{Command, Stdio};

use keystile_tests::{Api, Cluster};
use serde_json::{Value, json};

/// With the demo team more than two transactions of the re-wrap.
const TEAMS: [&str; 17] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"];
const RUN: &str = "/api/v1/components/action.sandbox.echo/run";
/// What makes the next key-encryption key and puts it in its place, in the order in which it comes,
/// each with its number among its like. strace counts by thread and by call.
const FILE: [(&str, u32); 4] = [("unlink", 1), ("fsync", 1), ("rename", 1), ("fsync", 2)];
/// What SQLite writes with, in a thread of its own.
const DATABASE: [&str; 4] = ["pwrite64", "fsync", "fdatasync", "ftruncate"];

/// A rotation that ends by itself; what it says.
fn rotate(cluster: &Cluster, arguments: &[&str]) -> Value {
    let arguments = [&["vault", "rotate-kek", "--json"], arguments].concat();
    let ran = cluster.command(&arguments).output().expect("runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// A rotation that is killed at its `number`th `call`; false if it does not make so many.
fn killed(cluster: &Cluster, (call, number): (&str, u32)) -> bool {
    let whole = cluster.command(&["vault", "rotate-kek", "--json"]);
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--quiet=all", "--output=/dev/null"]);
    strace.args(["-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
    strace.arg(whole.get_program()).args(whole.get_args());
    strace.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.current_dir(cluster.folder()).stdin(Stdio::null());
    let ran = strace.output().expect("strace is installed");
    let completed: Option<Value> = serde_json::from_slice(&ran.stdout).ok();
    assert_eq!(completed.is_some(), ran.status.success(), "{ran:?}");
    completed.is_none()
}

async fn every_credential_opens(keys: &[Api], when: &str) {
    for key in keys {
        let answer = key.post(RUN, &json!({"inputs": {"message": "hello"}})).await;
        assert_eq!(answer.status.as_u16(), 200, "{when}: {}", answer.text);
    }
}

struct Tally<'a> {
    cluster: &'a Cluster,
    /// One of each team.
    keys: &'a [Api],
    version: u64,
    kills: u32,
    resumed: u64,
}

impl Tally<'_> {
    /// Runs the same command again after it was killed, and looks whether all is well before and
    /// after. If the key was in its file, it goes on with that one and makes no other.
    async fn finish(&mut self, step: (&str, u32), begun: bool) {
        every_credential_opens(self.keys, &format!("killed at {step:?}")).await;
        let done = rotate(self.cluster, &["--prune"]);
        every_credential_opens(self.keys, &format!("finished after {step:?}")).await;

        self.version += 1;
        assert_eq!(done["version"], json!(self.version), "{step:?}: {done}");
        assert_eq!(done["made"], json!(!begun), "{step:?}: {done}");
        let shown = self.cluster.command(&["vault", "keys", "--json"]).output().expect("runs");
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let all = json!({self.version.to_string(): TEAMS.len() + 1});
        assert_eq!(shown["dataKeys"], all, "{step:?}: {shown}");
        assert_eq!(shown["versions"], json!([self.version]), "{step:?}: the old one is removed");
        self.resumed += done["rewrapped"].as_u64().expect("a count");
        self.kills += 1;
    }
}

#[tokio::test]
async fn a_rotation_that_is_killed_at_any_step_is_finished_by_the_next() {
    let (cluster, teams) = Cluster::newcomer_with(&TEAMS).await;
    let mut keys = Vec::new();
    for team in &teams {
        let manage = cluster.console().with_token(&team.token);
        let connection = cluster.sandbox_connection(&manage).await;
        let (_, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
        keys.push(cluster.gateway().with_token(&token));
    }
    every_credential_opens(&keys, "before").await;
    let mut tally = Tally { cluster: &cluster, keys: &keys, version: 1, kills: 0, resumed: 0 };
    for (place, step) in FILE.into_iter().enumerate() {
        assert!(killed(&cluster, step), "{step:?} was not reached");
        // Up to the rename there is no new key.
        tally.finish(step, place > 2).await;
    }
    for call in DATABASE {
        for number in 1.. {
            // The key is made and in its place.
            assert!(killed(&cluster, FILE[3]));
            tally.kills += 1;
            if !killed(&cluster, (call, number)) {
                tally.version += 1;
                break;
            }
            tally.finish((call, number), true).await;
        }
    }
    let Tally { version, kills, resumed, .. } = tally;
    println!(
        "{kills} kills of rotations to version 2 to {version}, {resumed} data keys re-wrapped by who \
         went on: every credential opens, none is under an old key"
    );
    // Three transactions of the re-wrap alone have a write and a flush each, at least.
    assert!(kills > 20 && resumed > 18, "{kills} kills, {resumed} left to others");
}
