//! What the binary leaves on disk.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use keystile_testkit::eventually;

#[test]
fn nobody_else_reads_a_database() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let ran = Command::new(env!("CARGO_BIN_EXE_keystile"))
        .arg("migrate")
        .arg("--data-dir")
        .arg(&data)
        .output()
        .expect("runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut databases = 0;
    for entry in fs::read_dir(&data).expect("is there") {
        let entry = entry.expect("reads");
        let mode = entry.metadata().expect("reads").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
        databases += usize::from(entry.path().extension().is_some_and(|found| found == "db"));
    }
    assert_eq!(databases, 4);
}

#[test]
fn an_empty_data_directory_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let ran = Command::new(env!("CARGO_BIN_EXE_keystile"))
        .args(["migrate", "--data-dir", ""])
        .current_dir(home.path())
        .output()
        .expect("runs");
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("data_dir is empty"), "{said}");
    assert_eq!(fs::read_dir(home.path()).expect("is there").count(), 0);
}

#[test]
fn the_configuration_is_where_the_flag_or_else_the_variable_says() {
    let home = tempfile::tempdir().expect("a directory");
    let named = |name: &str| {
        let path = home.path().join(format!("{name}.toml"));
        fs::write(&path, format!("data_dir = '{}'", home.path().join(name).display()))
            .expect("writes");
        path.display().to_string()
    };
    let (one, two) = (named("one"), named("two"));
    for (variable, flag, used) in [
        (None, None, ".keystile"),
        (Some(""), None, ".keystile"),
        (Some(one.as_str()), None, "one"),
        (Some(one.as_str()), Some(two.as_str()), "two"),
        (Some(""), Some(two.as_str()), "two"),
    ] {
        let mut keystile = Command::new(env!("CARGO_BIN_EXE_keystile"));
        keystile.args(["secrets", "init"]).current_dir(home.path()).env_remove("KEYSTILE_CONFIG");
        keystile.envs(variable.map(|path| ("KEYSTILE_CONFIG", path)));
        keystile.args(flag.map(|path| format!("--config={path}")));
        let ran = keystile.output().expect("runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let made = home.path().join(used);
        fs::remove_dir_all(made).expect("is used");
    }
}

#[test]
fn a_lost_secret_is_not_made_again() {
    let home = tempfile::tempdir().expect("a directory");
    let init = || {
        let mut keystile = Command::new(env!("CARGO_BIN_EXE_keystile"));
        keystile.args(["secrets", "init", "--data-dir"]).arg(home.path()).output().expect("runs")
    };
    let read = |name: &str| fs::read(home.path().join("secrets").join(name)).ok();
    let names = ["token-keys.key", "sealing-keys.key", "keks.key", "operator-token.key"];
    assert!(init().status.success());
    let made = names.map(read);
    assert!(made.iter().all(Option::is_some));
    assert!(init().status.success(), "nothing is missing");
    assert_eq!(names.map(read), made);
    for name in names {
        let (path, kept) = (home.path().join("secrets").join(name), home.path().join("kept"));
        fs::rename(&path, &kept).expect("is there");
        let refused = init();
        assert!(!refused.status.success() && !path.exists(), "{name}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(name) && said.contains("hint: restore"), "{said}");
        fs::rename(&kept, &path).expect("restores");
    }
    assert!(init().status.success());
}

#[tokio::test]
async fn the_binary_dumps_no_core() {
    let home = tempfile::tempdir().expect("a directory");
    let child = Command::new(env!("CARGO_BIN_EXE_keystile"))
        .args(["sandbox", "--sandbox-listen", "127.0.0.1:0", "--data-dir"])
        .arg(home.path())
        .env("KEYSTILE_TELEMETRY__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let child = Killed(child);
    let limits = format!("/proc/{}/limits", child.0.id());
    eventually("no core", async || {
        let limits = fs::read_to_string(&limits).unwrap_or_default();
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
        core.is_some_and(|core| core.split_whitespace().take(2).eq(["0", "0"]))
    })
    .await;
}

/// A process that ends with its test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
