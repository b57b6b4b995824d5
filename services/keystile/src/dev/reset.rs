//! Starting over.

use std::{fs, path::Path};

use anyhow::Context as _;
use keystile_runtime::DataDir;

use super::demo;
use crate::advice::Advice;

/// Deletes what Keystile stored in `path`, and nothing else.
///
/// # Errors
/// The directory is in use, or holds something that Keystile did not make: then nothing is deleted.
pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let foreign = |what: String| {
        let hint = "delete it yourself, or choose another directory with --data-dir";
        let message = format!("{} {what}: nothing was deleted", path.display());
        anyhow::Error::new(Advice::new(message, hint))
    };
    if !DataDir::is_one(path) {
        return Err(foreign("is not a data directory of Keystile".to_owned()));
    }
    let _held = DataDir::open(path)?;
    let mut ours = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match (is_ours(&name), entry.file_type()?.is_dir()) {
            (Some(is_dir), found) if is_dir == found => ours.push((entry.path(), is_dir)),
            _ => return Err(foreign(format!("contains {name:?}, which Keystile did not make"))),
        }
    }
    for (path, is_dir) in ours {
        let deleted = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        deleted.with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

/// Does Keystile make such an entry, and is it a directory?
fn is_ours(name: &str) -> Option<bool> {
    let database = |name: &str| {
        let name = ["-wal", "-shm", "-journal"].iter().find_map(|end| name.strip_suffix(end));
        name.is_some_and(|name| Path::new(name).extension().is_some_and(|ext| ext == "db"))
    };
    match name {
        "secrets" => Some(true),
        demo::FILE | demo::PROFILE | keystile_runtime::data_dir::LOCK => Some(false),
        name if Path::new(name).extension().is_some_and(|ext| ext == "db") => Some(false),
        name if Path::new(name).extension().is_some_and(|ext| ext == "new") => Some(false),
        name if database(name) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_keystile_made_is_deleted() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data");
        run(&path).expect("there is nothing to delete");
        let dir = DataDir::open(&path).expect("opens");
        assert!(run(&path).is_err(), "it is in use");
        dir.write_private("secrets/keks.key", "1:x").expect("writes");
        dir.write_private("demo.env", "x").expect("writes");
        dir.write_private("vault.db-wal", "x").expect("writes");
        drop(dir);
        run(&path).expect("deletes");
        assert_eq!(fs::read_dir(&path).expect("is there").count(), 0);
    }

    #[test]
    fn a_directory_with_anything_else_is_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("thesis.txt"), "x").expect("writes");
        assert!(run(home.path()).is_err());
        let dir = DataDir::open(home.path()).expect("opens");
        dir.write_private("demo.env", "x").expect("writes");
        drop(dir);
        let said = run(home.path()).expect_err("refuses").to_string();
        assert!(said.contains("thesis.txt"), "{said}");
        assert!(home.path().join("demo.env").exists());
    }
}
