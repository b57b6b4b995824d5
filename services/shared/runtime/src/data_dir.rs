//! The directory of an installation: databases, generated secrets, and one process at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The name of the lock in a data directory.
pub const LOCK: &str = "keystile.lock";

/// From now on, whatever file or directory this process makes is for its own user only, whichever
/// library makes it and wherever it is.
pub fn keep_new_files_private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// A data directory, held exclusively until dropped or until the process ends in any way.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An empty path would be the working directory, and its files everyone's.
    #[error("data_dir is empty: it must name a directory")]
    Unnamed,
    /// Another process has it.
    #[error("{} is in use by another keystile process{}", path.display(), named(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, if its note could be read.
        pid: Option<u32>,
    },
    /// The system refuses.
    #[error("cannot use {}: {cause}", path.display())]
    Io {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A secret that others on this machine can read is none.
    #[error("{} can be read by others (mode {mode:03o}): it must be 0600", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn named(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |cause| Self::Io { path: path.to_owned(), cause }
    }
}

impl DataDir {
    /// Creates the directory (0700) unless it is there, and takes its lock.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process holds it; [`Error::Unnamed`] for an empty path.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            return Err(Error::Unnamed);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(Error::io(&path))?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(Error::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                let _ = lock.read_to_string(&mut note);
                return Err(Error::InUse { path, pid: note.trim().parse().ok() });
            }
            Err(TryLockError::Error(cause)) => {
                return Err(Error::Io { path: lock_path, cause });
            }
        }
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(Error::io(&lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Was this directory made by [`DataDir::open`]? Asked before anything in it is deleted.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        path.join(LOCK).is_file()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`read_private`], by its name in here.
    ///
    /// # Errors
    /// As [`read_private`].
    pub fn read_private(&self, name: &str) -> Result<Option<String>, Error> {
        read_private(&self.path.join(name))
    }

    /// As [`write_private`], by its name in here.
    ///
    /// # Errors
    /// As [`write_private`].
    pub fn write_private(&self, name: &str, text: &str) -> Result<(), Error> {
        write_private(&self.path.join(name), text)
    }
}

/// Reads a private file; `None` if there is none.
///
/// # Errors
/// [`Error::TooOpen`] if others on this machine may read or write it.
pub fn read_private(path: &Path) -> Result<Option<String>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::Io { path: path.to_owned(), cause }),
    };
    // Asked of the open file: it is the one that is read.
    let mode = file.metadata().map_err(Error::io(path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Error::io(path))?;
    Ok(Some(text))
}

/// Writes a private file (0600), whole or not at all, also if the machine stops meanwhile. Folders
/// on its way are made (0700).
///
/// # Errors
/// [`Error::Io`].
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    // `a.pem` alone has an empty parent, which is no folder to open.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let unfinished = path.with_extension("new");
        if let Err(error) = fs::remove_file(&unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data");
        assert!(!DataDir::is_one(&path));
        let held = DataDir::open(&path).expect("opens");
        assert!(DataDir::is_one(&path));
        let refused = DataDir::open(&path).expect_err("is held").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        DataDir::open(&path).expect("opens again");
    }

    #[test]
    fn an_empty_path_is_not_the_working_directory() {
        assert!(matches!(DataDir::open(""), Err(Error::Unnamed)));
    }

    #[test]
    fn private_files_are_private_and_must_stay_so() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(home.path().join("data")).expect("opens");
        assert_eq!(dir.read_private("secrets/a.key").expect("reads"), None);
        dir.write_private("secrets/a.key", "one").expect("writes");
        dir.write_private("secrets/a.key", "two").expect("replaces");
        assert_eq!(dir.read_private("secrets/a.key").expect("reads").as_deref(), Some("two"));
        let path = dir.path().join("secrets/a.key");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(dir.path())), (0o600, 0o700));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("is ours");
        let refused = dir.read_private("secrets/a.key");
        assert!(matches!(refused, Err(Error::TooOpen { mode: 0o640, .. })), "{refused:?}");
    }
}
