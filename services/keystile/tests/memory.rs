//! Threat 13: what is in the memory of a process that has keys.
//!
//! The process is this test binary, started again, which runs the product as `keystile dev` does.
//! The parent reads its memory from outside, so that what it looks for is not there because of the
//! search; the binary as it is shipped does not let itself be read.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keystile::{Settings, dev};
use keystile_domain::{Role, TeamId, entropy};
use keystile_runtime::{SystemEntropy, config, secrets::KekFile};
use keystile_seal::{DataKeyId, KekRing, KeyEncryption as _};
use keystile_sql::{Database, Pool};
use keystile_testkit::SeededEntropy;
use reqwest::{Client, StatusCode};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use secrecy::{ExposeSecret as _, SecretBox};
use serde_json::json;
use uuid::Uuid;

const CHILD: &str = "MEMORY_TEST_CHILD";
/// What the child says before what is meant for its parent.
const SAYS: &str = "child: ";

/// The product in a process whose memory can be read.
struct Product {
    child: Child,
    says: BufReader<ChildStdout>,
    gateway: String,
    token: String,
}

impl Product {
    fn start(test: &str, variables: &[(String, String)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("its path"));
        command.args([test, "--exact", "--nocapture"]).env(CHILD, "yes");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let says = BufReader::new(child.stdout.take().expect("piped"));
        let mut product = Self { child, says, gateway: String::new(), token: String::new() };
        product.gateway = product.heard();
        product.token = product.heard();
        product
    }

    fn heard(&mut self) -> String {
        let mut line = String::new();
        while self.says.read_line(&mut line).expect("reads") > 0 {
            if let Some(said) = line.strip_prefix(SAYS) {
                return said.trim().to_owned();
            }
            line.clear();
        }
        panic!("the child ended");
    }

    fn tell(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("listens");
    }

    async fn run(&self) {
        let url = format!("http://{}/api/v1/components/action.sandbox.echo/run", self.gateway);
        let body = json!({"inputs": {"message": "hello"}});
        let sent = Client::new().post(url).bearer_auth(&self.token).json(&body).send().await;
        assert_eq!(sent.expect("answers").status(), StatusCode::OK);
    }

    /// Everything that it can write to, with where it is.
    fn memory(&self) -> Vec<(String, Vec<u8>)> {
        let process = self.child.id();
        let maps = || fs::read_to_string(format!("/proc/{process}/maps")).expect("its maps");
        let memory = File::open(format!("/proc/{process}/mem")).expect("its memory");
        let read = |line: &str| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-').filter(|_| rest.starts_with("rw"))?;
            let bound = |text| u64::from_str_radix(text, 16).expect("an address");
            let length = usize::try_from(bound(to) - bound(from)).expect("fits");
            let mut bytes = vec![0; length];
            if let Err(error) = memory.read_exact_at(&mut bytes, bound(from)) {
                // The stack of a thread that has just ended is not there any more.
                assert!(!maps().contains(line), "{line}: {error}");
                return None;
            }
            Some((line.to_owned(), bytes))
        };
        maps().lines().filter_map(read).collect()
    }

    /// How often each needle is there, in their order.
    fn search(&self, needles: [&[Needle]; 3]) -> [Vec<usize>; 3] {
        let memory = self.memory();
        let size: usize = memory.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("{} MiB in {} mappings", size >> 20, memory.len());
        let count = |needle: &Needle| {
            let found = memory.iter().map(|(place, bytes)| {
                let count = needle.count(bytes);
                if count > 0 {
                    println!("{}: {count} in {place}", needle.name);
                }
                count
            });
            found.sum()
        };
        needles.map(|needles| needles.iter().map(count).collect())
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is looked for: the end of a key, since the allocator writes over the first 16 bytes of what
/// is freed.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

impl Needle {
    fn count(&self, bytes: &[u8]) -> usize {
        let (mut rest, mut count) = (bytes, 0);
        // The standard library's search for a byte is fast in every profile.
        while rest.skip_until(self.bytes[0]).is_ok_and(|skipped| skipped > 0) {
            count += usize::from(rest.starts_with(&self.bytes[1..]));
        }
        count
    }
}

fn needle(name: impl Into<String>, bytes: &[u8]) -> Needle {
    Needle { name: name.into(), bytes: bytes.to_vec() }
}

/// Runs the product and does what its parent tells.
fn product() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let say = |text: &str| println!("{SAYS}{text}");
    let wait = || std::io::stdin().lock().read_line(&mut String::new()).expect("reads");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let settings: Settings = config::load(None, &[]).expect("loads");
    let (running, demo) = runtime.block_on(dev::start(&settings)).expect("starts");
    say(&running.addresses().of(Role::Gateway).expect("listens").to_string());
    say(demo.token.expect("made").expose_secret());
    wait();
    runtime.block_on(running.stop());
    drop((runtime, settings));
    say("stopped");
    wait();
}

#[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the test's own")]
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

fn variables(data_dir: &Path) -> Vec<(String, String)> {
    let sections = ["GATEWAY", "CONSOLE", "VERIFICATION", "TELEMETRY"];
    let listen =
        sections.map(|section| (format!("KEYSTILE_{section}__LISTEN"), "127.0.0.1:0".into()));
    let data_dir = ("KEYSTILE_DATA_DIR".to_owned(), data_dir.display().to_string());
    listen.into_iter().chain([data_dir]).collect()
}

/// Every data key of a vault, unwrapped.
async fn data_keys(data_dir: &Path, keks: Vec<(u32, SecretBox<[u8; 32]>)>) -> Vec<Needle> {
    let ring = KekRing::new(keks, Arc::new(SeededEntropy::new(1))).expect("a ring");
    let url = format!("sqlite://{}", data_dir.join("vault.db").display());
    let database = Database::connect(&url.into(), Pool::default()).await.expect("connects");
    let statement = "SELECT id, team_id, kek_version, wrapped FROM data_keys";
    let statement = Statement::from_string(DbBackend::Sqlite, statement);
    let rows = database.read().query_all_raw(statement).await.expect("reads");
    let mut keys = Vec::new();
    for row in rows {
        let id: Uuid = row.try_get_by_index(0).expect("an id");
        let team: Uuid = row.try_get_by_index(1).expect("a team");
        let version: i64 = row.try_get_by_index(2).expect("a version");
        let wrapped: Vec<u8> = row.try_get_by_index(3).expect("bytes");
        let version = u32::try_from(version).expect("a version");
        let (id, team) = (DataKeyId::from_uuid(id), TeamId::from_uuid(team));
        let key = ring.unwrap(team, id, version, &wrapped).await.expect("opens");
        keys.push(needle(format!("data key under {version}"), &key.expose_secret()[16..]));
    }
    assert!(!keys.is_empty());
    keys
}

/// Keys, and what they are written as.
fn key_needles(keks: &[(u32, SecretBox<[u8; 32]>)]) -> (Vec<Needle>, Vec<Needle>) {
    let each = keks.iter().map(|(version, key)| {
        let text = STANDARD.encode(key.expose_secret());
        let bytes = needle(format!("key-encryption key {version}"), &key.expose_secret()[16..]);
        // Without the padding.
        (bytes, needle(format!("text of {version}"), &text.as_bytes()[20..43]))
    });
    each.unzip()
}

/// Uses the keys, brings another into use as `rotate` does, and looks for all of them while the
/// product serves, when the text of each is to be there `texts` times, and after it has stopped.
async fn look(
    test: &str,
    variables: &[(String, String)],
    data_dir: &Path,
    rotate: impl FnOnce(),
    keks: impl Fn() -> Vec<(u32, SecretBox<[u8; 32]>)>,
    texts: usize,
) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut product = Product::start(test, variables);
    for _ in 0..20 {
        product.run().await;
    }
    let mut wrapped = data_keys(data_dir, keks()).await;
    rotate();
    for _ in 0..20 {
        product.run().await;
    }
    wrapped.extend(data_keys(data_dir, keks()).await);
    let (kek_bytes, kek_texts) = key_needles(&keks());
    let needles: [&[Needle]; 3] = [&kek_bytes, &kek_texts, &wrapped];
    let serving = product.search(needles);
    product.tell();
    assert_eq!(product.heard(), "stopped");
    let stopped = product.search(needles);
    let none = |needles: &[Needle]| vec![0; needles.len()];
    // The ring has each once, which also shows that the search finds.
    let once = vec![1; kek_bytes.len()];
    assert_eq!(serving, [once, vec![texts; kek_texts.len()], none(&wrapped)], "while it serves");
    assert_eq!(stopped, [none(&kek_bytes), none(&kek_texts), none(&wrapped)], "once it stopped");
}

#[tokio::test]
async fn no_key_is_left_after_use() {
    if is_child() {
        return tokio::task::spawn_blocking(product).await.expect("ends");
    }
    let home = tempfile::tempdir().expect("a directory");
    let data_dir = home.path().join("data");
    let variables = variables(&data_dir);
    let rotate = || {
        let mut rotate = Command::new(env!("CARGO_BIN_EXE_keystile"));
        rotate.args(["vault", "rotate-kek"]).envs(variables.iter().cloned());
        let rotated = rotate.output().expect("runs");
        assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    };
    let keks = || KekFile::of(&data_dir).expect("made").read().expect("reads");
    look("no_key_is_left_after_use", &variables, &data_dir, rotate, keks, 0).await;
    assert_eq!(keks().len(), 2);
}

/// What was in a configuration file stays as its text for as long as the configuration does, once.
/// Many of them, so that not all of what was freed is in use again.
#[tokio::test]
async fn no_configured_key_is_left_after_use() {
    if is_child() {
        return tokio::task::spawn_blocking(product).await.expect("ends");
    }
    let home = tempfile::tempdir().expect("a directory");
    let data_dir = home.path().join("data");
    let keys = [(); 64].map(|()| entropy::bytes::<32>(&SystemEntropy));
    let line = |(version, key): (u32, [u8; 32])| format!("\"{version}:{}\"", STANDARD.encode(key));
    let lines: Vec<_> = (1..).zip(keys).map(line).collect();
    let file = home.path().join("keystile.toml");
    fs::write(&file, format!("[secrets]\nkeks = [{}]\n", lines.join(", "))).expect("written");
    let mut variables = variables(&data_dir);
    variables.push(("KEYSTILE_CONFIG".to_owned(), file.display().to_string()));
    let keks = || (1..).zip(keys).map(|(n, key)| (n, SecretBox::init_with(|| key))).collect();
    look("no_configured_key_is_left_after_use", &variables, &data_dir, || {}, keks, 1).await;
}
