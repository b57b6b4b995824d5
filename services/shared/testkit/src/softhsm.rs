//! A PKCS #11 token of its own: SoftHSM in a folder.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The token's label.
pub const TOKEN: &str = "keystile";
/// The PIN of its user, which nobody else uses anywhere.
pub const PIN: &str = "pin-canary-7301";
/// Where Debian and others put the library.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

/// A token. Dropped, it is gone.
#[derive(Debug)]
pub struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// Makes a token without keys.
    ///
    /// # Panics
    /// If SoftHSM is not installed.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).expect("a folder");
        let configuration =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        let hsm = Self { folder };
        fs::write(hsm.configuration(), configuration).expect("written");
        hsm.util(&["--init-token", "--free", "--label", TOKEN, "--so-pin", "so-pin", "--pin", PIN]);
        hsm
    }

    /// Adds an AES key with this label.
    ///
    /// # Panics
    /// If the token refuses.
    pub fn import(&self, label: &str, key: &[u8]) {
        let file = self.folder.path().join("key");
        fs::write(&file, key).expect("written");
        let file = file.to_str().expect("a path in UTF-8");
        let arguments = ["--import", file, "--aes", "--token", TOKEN, "--pin", PIN];
        // Keys may share an id here.
        let named = ["--label", label, "--id", "01", "--force"];
        self.util(&[&arguments[..], &named].concat());
        fs::remove_file(file).expect("is there");
    }

    /// The variable that leads the library to this token. It is read when the library is loaded: a
    /// process has one.
    #[must_use]
    pub fn variable(&self) -> (&'static str, OsString) {
        ("SOFTHSM2_CONF", self.configuration().into_os_string())
    }

    /// The library.
    ///
    /// # Panics
    /// If SoftHSM is not installed.
    #[must_use]
    pub fn module() -> PathBuf {
        let found = MODULES.into_iter().map(Path::new).find(|path| path.exists());
        found.expect("SoftHSM is installed (Debian: softhsm2)").to_owned()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn util(&self, arguments: &[&str]) {
        let (name, value) = self.variable();
        let ran = Command::new("softhsm2-util")
            .args(arguments)
            .env(name, value)
            .output()
            .expect("SoftHSM is installed (Debian: softhsm2)");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}
