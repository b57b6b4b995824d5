//! What a warm verification asks of the network, by watching the system calls of a process that
//! verifies: it answers its caller, and renews its lease now and then. Issuance and Redis are to be
//! other processes, so that asking them shows.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use keystile_contract::{
    Transport,
    proto::verification::v1::{
        VerifyRequest, verification_service_client::VerificationServiceClient,
        verify_response::Verdict,
    },
};
use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;
use keystile_testkit::eventually;
use keystile_tests::Cluster;
use tonic::Code;

/// All that moves bytes through a socket or makes one. A read or write of anything else is left out
/// later, by what the descriptor is.
const CALLS: &str = "trace=%network,read,readv,write,writev";
/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_millis(500);
/// What a renewal and the pings between two of them may take, system calls.
const PER_RENEWAL: usize = 12;

/// System calls on sockets, by whom they serve.
#[derive(Debug, Default)]
struct Seen {
    /// Who asks.
    callers: usize,
    /// Anybody else.
    others: usize,
}

/// An strace that is attached to every thread of a process.
struct Watch {
    strace: Child,
    folder: tempfile::TempDir,
    callers_at: SocketAddr,
}

impl Watch {
    async fn begin((process, callers_at): (u32, SocketAddr)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let strace = Command::new("strace")
            .args(["--follow-forks", "--decode-fds=all", "-e", CALLS, "-o"])
            .arg(folder.path().join("calls"))
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is installed");
        eventually("attached", async || attached(process)).await;
        Self { strace, folder, callers_at }
    }

    fn end(mut self) -> Seen {
        let id = self.strace.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
        assert!(sent.success());
        self.strace.wait().expect("it ends");
        let of_callers = format!("[{}->", self.callers_at);
        let calls = fs::read_to_string(self.folder.path().join("calls")).expect("written");
        let mut seen = Seen::default();
        // The second half of a call that was interrupted names no descriptor.
        for call in calls.lines().filter(|call| !call.contains("resumed>")) {
            if call.contains(&of_callers) {
                seen.callers += 1;
            } else if is_of_a_socket(call) {
                seen.others += 1;
            }
        }
        seen
    }
}

fn attached(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads.flatten().all(|thread| traced(&thread.path()))
}

fn traced(thread: &Path) -> bool {
    let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
    !status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() == "0"))
}

/// `12 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, …` is, `write(4<anon_inode:[eventfd]>, …` is not.
fn is_of_a_socket(call: &str) -> bool {
    let Some((name, arguments)) = call.split_once('(') else { return false };
    let moves = ["read", "readv", "write", "writev"];
    let named = moves.iter().any(|call| name.ends_with(&format!(" {call}")));
    let end = arguments.find(['>', ',']).unwrap_or(arguments.len());
    let descriptor = &arguments[..end];
    !named || ["TCP", "UDP", "UNIX", "socket", "NETLINK"].iter().any(|of| descriptor.contains(of))
}

/// Asks `times` times, one after the other, on one connection.
async fn ask(
    client: &mut VerificationServiceClient<Transport>,
    question: &VerifyRequest,
    times: usize,
) {
    for _ in 0..times {
        let answer = client.verify(question.clone()).await.expect("a verdict").into_inner();
        assert!(matches!(answer.verdict, Some(Verdict::Allowed(_))));
    }
}

#[tokio::test]
#[ignore = "deep: tests/deep strace"]
async fn deep_a_warm_verification_makes_no_network_call_but_to_answer() {
    let mut cluster = Cluster::start().await;
    let manage = cluster.manage();
    let connection = cluster.sandbox_connection(&manage).await;
    let (_, token) = cluster.key(&manage, &connection, &["action.sandbox.echo"]).await;
    let component = "action.sandbox.echo".to_owned();
    let question = VerifyRequest { token, component, ..VerifyRequest::default() };
    let mut client = cluster.verification();
    ask(&mut client, &question, 100).await;
    let verifier = cluster.verifier();

    for times in [200, 2_000, 20_000] {
        let watch = Watch::begin(verifier).await;
        let began = SystemClock.tick();
        ask(&mut client, &question, times).await;
        let took = SystemClock.tick().since(began);
        let seen = watch.end();
        let renewals = usize::try_from(took.as_millis() / RENEWAL.as_millis()).expect("few") + 2;
        println!("{times} warm verifications, {} ms: {seen:?}", took.as_millis());
        assert!(seen.callers >= times, "{seen:?}: the calls were not seen");
        assert!(
            seen.others <= renewals * PER_RENEWAL,
            "{seen:?}: more than {renewals} renewals take"
        );
    }

    // One that this node has to ask about is seen.
    let answer = client.verify(question.clone()).await.expect("a verdict").into_inner();
    let newer = answer.as_of.map(|as_of| keystile_contract::proto::common::v1::Position {
        seq: as_of.seq + 1_000,
        ..as_of
    });
    let cold = VerifyRequest { at_least: newer, ..question };
    let watch = Watch::begin(verifier).await;
    for _ in 0..1_000 {
        let status = client.verify(cold.clone()).await.expect_err("from the future");
        assert_eq!(status.code(), Code::Unavailable);
    }
    let seen = watch.end();
    println!("1000 questions about what is to come: {seen:?}");
    assert!(seen.others >= 1_000, "{seen:?}: no look-up was seen");
}
