//! The binary with key-encryption keys in a PKCS #11 token: threat 16, and the way from a ring to a
//! token.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use keystile_testkit::{
    SoftHsm, eventually,
    softhsm::{PIN, TOKEN},
};
use serde_json::Value;

/// An installation in a folder.
struct Host {
    home: tempfile::TempDir,
    variables: Vec<(String, OsString)>,
    running: Option<Child>,
}

impl Host {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let sections = ["GATEWAY", "CONSOLE", "VERIFICATION", "TELEMETRY"];
        let listen =
            sections.map(|section| (format!("KEYSTILE_{section}__LISTEN"), "127.0.0.1:0".into()));
        let data_dir = ("KEYSTILE_DATA_DIR".to_owned(), home.path().join("data").into());
        let variables = listen.into_iter().chain([data_dir]).collect();
        Self { home, variables, running: None }
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// From now on it uses that token.
    fn use_token(&mut self, hsm: &SoftHsm) {
        let (name, value) = hsm.variable();
        self.set(name, value);
        self.set("KEYSTILE_SECRETS__PKCS11__MODULE", SoftHsm::module());
        self.set("KEYSTILE_SECRETS__PKCS11__TOKEN", TOKEN);
        self.set("KEYSTILE_SECRETS__PKCS11__PIN", PIN);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystile"));
        command.args(arguments).envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command.env("KEYSTILE_TELEMETRY__LOG", "trace");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("runs")
    }

    /// What a command that succeeds says.
    fn says(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).expect("JSON")
    }

    /// What a command that is refused says.
    fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success(), "{said}");
        assert!(!said.contains(PIN), "a PIN was said");
        said
    }

    /// What a start that is refused says.
    async fn refused_start(&self) -> String {
        let said = self.home.path().join("refused");
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).stderr(File::create(&said).expect("a file"));
        let mut child = command.spawn().expect("starts");
        let mut ended = None;
        eventually("it ends", async || {
            ended = child.try_wait().expect("a child");
            ended.is_some()
        })
        .await;
        let said = fs::read_to_string(said).expect("a file");
        assert!(ended.is_some_and(|status| !status.success()), "{said}");
        assert!(!said.contains(PIN), "a PIN was said");
        said
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// `keystile dev`, ready: it seals a credential on its first start and opens it on each.
    async fn start(&mut self) {
        let log = File::create(self.log()).expect("a log file");
        let mut command = self.command(&["dev"]);
        command.stdout(log.try_clone().expect("a handle")).stderr(log);
        let mut child = command.spawn().expect("starts");
        eventually("ready", async || {
            let log = fs::read_to_string(self.log()).expect("a log");
            let ended = child.try_wait().expect("a child").is_some();
            assert!(!ended, "{log}");
            log.contains("Ctrl-C stops it")
        })
        .await;
        self.running = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let asked = Command::new("kill").arg(child.id().to_string()).status();
            assert!(asked.expect("kill runs").success());
            child.wait().expect("ends");
            let log = fs::read_to_string(self.log()).expect("a log");
            assert!(!log.contains(PIN), "a PIN was logged");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

const ROTATE: [&str; 3] = ["vault", "rotate-kek", "--json"];

fn token(keys: &[(u32, u8)]) -> SoftHsm {
    let hsm = SoftHsm::start();
    for (version, byte) in keys {
        hsm.import(&format!("keystile-kek-{version}"), &[*byte; 32]);
    }
    hsm
}

#[tokio::test]
async fn with_its_keys_in_a_token_vault_starts_rotates_and_refuses_another_token() {
    let hsm = token(&[(1, 1)]);
    let mut host = Host::new();
    host.use_token(&hsm);
    host.start().await;
    assert!(!host.home.path().join("data/secrets/keks.key").exists(), "no ring was made");

    let refused = host.refused(&ROTATE);
    assert!(refused.contains("no key-encryption key that is newer than 1"), "{refused}");
    assert!(refused.contains("hint: ") && refused.contains("keystile-kek-2"), "{refused}");
    hsm.import("keystile-kek-2", &[2; 32]);
    let rotated = host.says(&ROTATE);
    assert_eq!(rotated["version"], 2);
    assert_eq!((&rotated["made"], &rotated["rewrapped"]), (&Value::from(false), &Value::from(1)));
    assert_eq!(rotated["processes"], 1);
    let refused = host.refused(&["vault", "rotate-kek", "--rewrap-only", "--prune"]);
    assert!(refused.contains("version 1 cannot be removed from here"), "{refused}");
    host.stop();
    host.start().await;
    host.stop();

    // Threat 16. Each is a start that would succeed with the token.
    for (other, says) in [
        (token(&[(2, 7)]), "vault cannot start: stored credentials need a key-encryption key"),
        (token(&[(1, 1)]), "key-encryption key version 2 is not configured"),
        (token(&[(1, 1), (3, 3)]), "key-encryption key version 2 is not configured"),
        (token(&[]), "the token has no AES-256 key"),
    ] {
        host.use_token(&other);
        let refused = host.refused_start().await;
        assert!(refused.contains(says), "{says:?} is not in {refused}");
    }
    host.use_token(&hsm);
    for (name, value, says) in [
        ("PIN", "wrong-4321", "the token refuses the PIN (PinIncorrect)"),
        ("PIN", "", "secrets.pkcs11.pin is missing"),
        ("TOKEN", "elsewhere", "there is no token with the label \"elsewhere\""),
        ("MODULE", "/nowhere.so", "/nowhere.so cannot be loaded as a PKCS #11 module"),
        ("LABEL", "other", "the token has no AES-256 key with a label other-<version>"),
    ] {
        host.use_token(&hsm);
        host.set(&format!("KEYSTILE_SECRETS__PKCS11__{name}"), value);
        let refused = host.refused_start().await;
        assert!(refused.contains(says) && !refused.contains("4321"), "{refused}");
    }
}

#[tokio::test]
async fn an_installation_moves_from_its_ring_to_a_token() {
    let mut host = Host::new();
    host.start().await;
    host.stop();

    // The ring's version is the ring's.
    let twice = token(&[(1, 9)]);
    host.use_token(&twice);
    let refused = host.refused_start().await;
    assert!(refused.contains("key-encryption key version 1 is configured twice"), "{refused}");

    let hsm = token(&[(2, 2)]);
    host.use_token(&hsm);
    host.start().await;
    let keys = host.says(&["vault", "keys", "--json"]);
    assert_eq!(keys["version"], 1, "what is new does not wrap by itself: {keys}");
    assert_eq!(host.says(&ROTATE)["version"], 2);
    host.stop();
    fs::remove_file(host.home.path().join("data/secrets/keks.key")).expect("is there");
    host.start().await;
    assert_eq!(host.says(&["vault", "keys", "--json"])["versions"], Value::from(vec![2]));
}
