//! The user that deploy ships, on a single server and on a Cluster.

use keystile_cache::conformance;
use keystile_testkit::{MockClock, Redis as Server, redis::Cluster};

use crate::{pass, reached};

const USERS: &str = include_str!("../../../../../deploy/redis/users.acl");
const PASSWORD: &str = "secret";
/// Its SHA-256.
const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// The shipped users as settings of a server, and debugging, or it would refuse that to everybody.
fn settings() -> Vec<String> {
    let rules = USERS.lines().filter(|line| line.starts_with("user ")).map(|line| {
        // Whoever asks for the rest of this test stays in.
        line.replace("PASSWORD_SHA256", HASH)
            .replace("user default off", "user default on nopass ~* +@all")
    });
    rules.chain(["enable-debug-command local".to_owned()]).collect()
}

/// The commands that the user may give.
fn allowed() -> impl Iterator<Item = &'static str> {
    let user = USERS.lines().find(|line| line.starts_with("user keystile ")).expect("the user");
    user.split(' ').filter_map(|rule| rule.strip_prefix('+'))
}

/// What of these commands the client gave to none of the servers.
fn unused<'a>(servers: &[&Server], commands: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let told = servers.iter().map(|server| server.cli(&["info", "commandstats"]));
    let stats = told.map(|told| told.expect("answers")).collect::<String>();
    commands.filter(|command| !stats.contains(&format!("cmdstat_{command}:calls="))).collect()
}

fn assert_nothing_was_denied(server: &Server) {
    let denied = server.cli(&["acl", "log"]).expect("answers");
    assert_eq!(denied.trim(), "", "what the client wanted and may not");
}

#[tokio::test]
async fn it_can_cache_and_nothing_else() {
    let settings = settings();
    let server = Server::start(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    let redis = reached(&server.url_of("keystile", PASSWORD), None, &MockClock::default()).await;
    conformance::check(&redis, pass).await;
    assert_nothing_was_denied(&server);
    for command in [
        &["flushall"][..],
        &["flushdb"],
        &["config", "get", "*"],
        &["config", "set", "maxmemory", "1"],
        &["script", "load", "return 1"],
        &["eval", "return 1", "0"],
        &["function", "list"],
        &["keys", "*"],
        &["scan", "0"],
        &["monitor"],
        &["client", "list"],
        &["client", "kill", "id", "1"],
        &["acl", "list"],
        &["debug", "sleep", "0"],
        &["shutdown"],
        &["replicaof", "no", "one"],
        &["get", "another's"],
        &["set", "another's", "1"],
        &["subscribe", "ks:"],
    ] {
        let login = ["--user", "keystile", "--pass", PASSWORD, "--no-auth-warning"];
        let told = server.cli(&[&login[..], command].concat()).expect("answers");
        assert!(told.starts_with("NOPERM"), "{command:?}: {told}");
    }
}

#[tokio::test]
async fn it_can_use_a_cluster_and_uses_all_that_it_may() {
    let settings = settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::start(&settings, None);
    let redis = reached(&cluster.url_of("keystile", PASSWORD), None, &MockClock::default()).await;
    conformance::check(&redis, pass).await;
    cluster.nodes.iter().for_each(assert_nothing_was_denied);
    let single = Server::start(&settings);
    reached(&single.url_of("keystile", PASSWORD), None, &MockClock::default()).await;
    let servers: Vec<_> = cluster.nodes.iter().chain([&single]).collect();
    assert_eq!(unused(&servers, allowed()), Vec::<&str>::new());
}
