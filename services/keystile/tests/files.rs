//! What the binary leaves on disk.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

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
