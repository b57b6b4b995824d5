//! Certificates for the servers of tests.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A CA that nobody else trusts.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another one than what it signs, or that looks as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, "the CA of a test");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signed");
        let authority = Self { issuer, folder: tempfile::tempdir().expect("a folder") };
        write(&authority.file(), &authority.pem(), None);
        authority
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The file with its certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes `ca.pem`, `server.pem` and `server-key.pem` for a server on 127.0.0.1 that runs as
    /// `user`.
    pub(crate) fn certify(&self, folder: &Path, user: Option<u32>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        write(&folder.join("ca.pem"), &self.pem(), user);
        write(&folder.join("server.pem"), &certificate.pem(), user);
        write(&folder.join("server-key.pem"), &key.serialize_pem(), user);
    }
}

/// Servers refuse a key that others can read.
fn write(file: &Path, pem: &str, owner: Option<u32>) {
    fs::write(file, pem).expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("closed to others");
    chown(file, owner, None).expect("given to the server");
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
