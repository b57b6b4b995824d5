//! A test in a process of its own: SoftHSM reads from the environment, once, where its token is.

use std::{process::Command, sync::Arc};

use keystile_kms::{Error, Pkcs11, Settings};
use keystile_testkit::{
    SeededEntropy, SoftHsm,
    softhsm::{PIN, TOKEN},
};

const CHILD: &str = "KMS_TEST_CHILD";
pub(crate) const LABEL: &str = "keystile-kek";

/// The key of a version, in every token and ring here.
pub(crate) fn key(version: u32) -> [u8; 32] {
    [0x40 + version.to_be_bytes()[3]; 32]
}

/// Runs `body` in a process that finds a token with these versions; `test` is the name of the test
/// that calls this.
#[expect(clippy::disallowed_methods, reason = "no configuration of Keystile's: the test's own")]
pub(crate) fn with_token(test: &str, versions: &[u32], body: impl AsyncFnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(body());
    }
    let hsm = SoftHsm::start();
    for version in versions {
        hsm.import(&format!("{LABEL}-{version}"), &key(*version));
    }
    let (name, value) = hsm.variable();
    let itself = std::env::current_exe().expect("its path");
    let mut child = Command::new(itself);
    child.args([test, "--exact", "--nocapture"]).env(name, value).env(CHILD, "yes");
    let ran = child.output().expect("runs");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("1 passed"), "{said}");
    assert!(!said.contains(PIN), "a PIN was said");
}

/// The token of this process.
pub(crate) fn settings() -> Settings {
    Settings {
        module: SoftHsm::module(),
        token: TOKEN.to_owned(),
        pin: PIN.into(),
        label: LABEL.to_owned(),
    }
}

pub(crate) async fn open(settings: Settings) -> Result<Pkcs11, Error> {
    Pkcs11::open(settings, Arc::new(SeededEntropy::new(1))).await
}
