//! The file of key-encryption keys, changed while others read it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use keystile_domain::{Entropy, entropy};
use zeroize::Zeroizing;

use super::{Error, KEKS, Versioned, file, line, parse};
use crate::data_dir;

/// `secrets/keks.key` of a data directory. A line is a version and its key; other lines stay as they
/// are.
#[derive(Debug, Clone)]
pub struct KekFile(PathBuf);

impl KekFile {
    /// That of this data directory, if there is one.
    #[must_use]
    pub fn of(data_dir: &Path) -> Option<Self> {
        let path = file(data_dir, KEKS);
        path.exists().then_some(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keys that are in it now, in the order of their versions.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Malformed`]; [`Error::Twice`].
    pub fn read(&self) -> Result<Vec<Versioned>, Error> {
        parse(KEKS, self.text()?.lines())
    }

    /// Makes the version after `version` and adds it, unless it or a newer one is there; returns the
    /// newest. It is on the disk when this returns, or nothing has changed.
    ///
    /// # Errors
    /// As [`KekFile::read`], and if the file cannot be written.
    pub fn add_after(&self, version: u32, entropy: &dyn Entropy) -> Result<u32, Error> {
        let _lock = self.lock()?;
        let newest = self.read()?.last().map_or(0, |(newest, _)| *newest);
        if newest > version {
            return Ok(newest);
        }
        let next = newest.checked_add(1).ok_or(Error::Malformed { field: KEKS })?;
        let key = Zeroizing::new(entropy::bytes::<32>(entropy));
        let (old, new) = (self.text()?, line(next, &key));
        let end = if old.ends_with('\n') { "" } else { "\n" };
        self.write(&[&old, end, &new, "\n"])?;
        Ok(next)
    }

    /// Removes these versions.
    ///
    /// # Errors
    /// As [`KekFile::add_after`].
    pub fn remove(&self, versions: &[u32]) -> Result<(), Error> {
        let _lock = self.lock()?;
        let text = self.text()?;
        let goes = |line: &str| {
            let version = line.split(':').next().and_then(|version| version.trim().parse().ok());
            version.is_some_and(|version| versions.contains(&version))
        };
        let stay: Vec<_> = text.split_inclusive('\n').filter(|line| !goes(line)).collect();
        self.write(&stay)
    }

    fn text(&self) -> Result<Zeroizing<String>, Error> {
        let text = data_dir::read_private(&self.0)?.map(Zeroizing::new);
        text.ok_or_else(|| Error::Missing { field: KEKS, file: self.0.display().to_string() })
    }

    fn write(&self, parts: &[&str]) -> Result<(), Error> {
        Ok(data_dir::write_private(&self.0, &Zeroizing::new(parts.concat()))?)
    }

    /// Held by whoever changes the file, until dropped or until the process ends in any way.
    fn lock(&self) -> Result<File, Error> {
        let path = self.0.with_extension("lock");
        let lock = || {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|cause: io::Error| data_dir::Error::Io { path: path.clone(), cause }.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use keystile_testkit::SeededEntropy;
    use secrecy::ExposeSecret as _;

    use super::*;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn given(text: &str) -> (tempfile::TempDir, KekFile) {
        let dir = tempfile::tempdir().expect("a directory");
        data_dir::write_private(&file(dir.path(), KEKS), text).expect("writes");
        let file = KekFile::of(dir.path()).expect("is there");
        (dir, file)
    }

    fn versions(file: &KekFile) -> Vec<u32> {
        file.read().expect("reads").iter().map(|(version, _)| *version).collect()
    }

    #[test]
    fn a_version_is_added_once_and_what_was_there_stays() {
        let (dir, file) = given(&format!("# mine\n1:{KEY}"));
        let entropy = SeededEntropy::new(1);
        for _ in 0..2 {
            assert_eq!(file.add_after(1, &entropy).expect("adds"), 2);
            assert_eq!(versions(&file), [1, 2]);
        }
        let keys = file.read().expect("reads");
        assert_eq!(keys[0].1.expose_secret(), &[1; 32]);
        assert_ne!(keys[1].1.expose_secret(), &[1; 32]);
        let text = fs::read_to_string(file.path()).expect("reads");
        assert!(text.starts_with(&format!("# mine\n1:{KEY}\n2:")) && text.ends_with("=\n"));
        for entry in fs::read_dir(dir.path().join("secrets")).expect("reads") {
            let entry = entry.expect("reads");
            let mode = entry.metadata().expect("reads").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    }

    #[test]
    fn only_what_is_named_is_removed() {
        let (_dir, file) = given(&format!("# 1: mine\n1:{KEY}\n 2 :{KEY}\n12:{KEY}\n"));
        file.remove(&[2, 9]).expect("removes");
        let text = fs::read_to_string(file.path()).expect("reads");
        assert_eq!(text, format!("# 1: mine\n1:{KEY}\n12:{KEY}\n"));
    }

    #[test]
    fn two_at_once_make_one_version() {
        let (_dir, file) = given(&format!("1:{KEY}\n"));
        let file = &file;
        std::thread::scope(|scope| {
            for seed in 0..8 {
                scope.spawn(move || file.add_after(1, &SeededEntropy::new(seed)).expect("adds"));
            }
        });
        assert_eq!(versions(file), [1, 2]);
    }
}
