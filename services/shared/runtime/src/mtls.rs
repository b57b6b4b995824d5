//! Mutual TLS between processes: every end shows a certificate of the installation's own
//! authority, and its identity is the one `keystile://…` URI among the subject alternative names.
//!
//! TLS 1.3 only. Host names mean nothing between roles: a role is asked for by identity, so that
//! a certificate of one role does not serve as another's, wherever it runs.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keystile_contract::Identity;
use keystile_domain::Role;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use serde::Deserialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::data_dir;

/// The authority's certificate, in every folder of certificates.
pub const AUTHORITY: &str = "ca.pem";

/// The `tls` section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A folder with `ca.pem` and, for each role of this process, `<role>.pem` and
    /// `<role>-key.pem` (0600). Absent: roles of other processes are neither reached nor answered.
    pub dir: Option<PathBuf>,
}

/// The certificates of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The key is not private.
    #[error(transparent)]
    Private(#[from] data_dir::Error),
    /// There is no key.
    #[error("{} is missing", .0.display())]
    NoKey(PathBuf),
    /// What is in the file is something else.
    #[error("{} holds no {what} in PEM", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// A certificate for somebody else.
    #[error("{} is not the certificate of {identity}", path.display())]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        identity: String,
    },
    /// The key is not that of the certificate, or neither fits TLS.
    #[error("{}: {cause}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

/// A certificate, its key, and the authority that every peer must show one of.
#[derive(Debug)]
pub struct Credentials {
    path: PathBuf,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The files of an identity in a folder: certificate and key. No caller's name makes them those of
/// a role or of the authority.
#[must_use]
pub fn files(dir: &Path, identity: &Identity) -> (PathBuf, PathBuf) {
    let name = match identity {
        Identity::Role(role) => role.to_string(),
        Identity::Caller(name) => format!("caller-{name}"),
    };
    (dir.join(format!("{name}.pem")), dir.join(format!("{name}-key.pem")))
}

impl Credentials {
    /// Reads those of `identity` from `dir`.
    ///
    /// # Errors
    /// [`Error`] names the file.
    pub fn read(dir: &Path, identity: &Identity) -> Result<Self, Error> {
        let roots = roots(dir)?;
        let (path, key_path) = files(dir, identity);
        let chain = certificates(&path)?;
        if self::identity(&chain).as_ref() != Some(identity) {
            return Err(Error::OtherIdentity { path, identity: identity.uri() });
        }
        let pem = data_dir::read_private(&key_path)?.map(Zeroizing::new);
        let pem = pem.ok_or_else(|| Error::NoKey(key_path.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| Error::Malformed { path: key_path, what: "private key" })?;
        Ok(Self { path, roots: Arc::new(roots), chain, key })
    }

    /// For a listener that answers peers of the authority only.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    pub fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = provider();
        let build = || {
            let roots = Arc::clone(&self.roots);
            let peers =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            let peers = peers.map_err(|error| rustls::Error::General(error.to_string()))?;
            ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS13])?
                .with_client_cert_verifier(peers)
                .with_single_cert(self.chain.clone(), self.key.clone_key())
        };
        let mut config = build().map_err(self.unusable())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// For connections to `role`, wherever it is.
    ///
    /// # Errors
    /// [`Error::Unusable`].
    pub fn client(&self, role: Role) -> Result<Arc<ClientConfig>, Error> {
        let provider = provider();
        let expected =
            Expected { identity: Identity::Role(role), roots: Arc::clone(&self.roots), provider };
        let build = || {
            ClientConfig::builder_with_provider(Arc::clone(&expected.provider))
                .with_protocol_versions(&[&TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(expected.clone()))
                .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
        };
        let mut config = build().map_err(self.unusable())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Will the certificate still be accepted at `at`?
    #[must_use]
    pub fn valid_at(&self, at: OffsetDateTime) -> bool {
        signed(&self.chain, &self.roots, &provider(), unix(at)).is_ok()
    }

    /// Does the certificate name `host`, a host name or an address?
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let Some(Ok(certificate)) = self.chain.first().map(webpki::EndEntityCert::try_from) else {
            return false;
        };
        match host.parse::<IpAddr>() {
            Ok(address) => {
                certificate.verify_is_valid_for_subject_name(&ServerName::from(address)).is_ok()
            }
            Err(_) => certificate.valid_dns_names().any(|name| name == host),
        }
    }

    fn unusable(&self) -> impl FnOnce(rustls::Error) -> Error + '_ {
        |cause| Error::Unusable { path: self.path.clone(), cause }
    }
}

/// The authority of `dir`.
fn roots(dir: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let path = dir.join(AUTHORITY);
    for certificate in certificates(&path)? {
        let what = "certificate of an authority";
        roots.add(certificate).map_err(|_| Error::Malformed { path: path.clone(), what })?;
    }
    Ok(roots)
}

/// Does the authority of `dir` vouch for `certificate` at `now`?
pub(crate) fn vouched(
    dir: &Path,
    certificate: &CertificateDer<'_>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let chain = std::slice::from_ref(certificate);
    signed(chain, &roots(dir)?, &provider(), unix(now))
        .map_err(|cause| Error::Unusable { path: dir.join(AUTHORITY), cause })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = fs::read(path).map_err(|cause| Error::Io { path: path.to_owned(), cause })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| Error::Malformed { path: path.to_owned(), what: "certificate" })
}

/// Who a chain belongs to, which says nothing about whether it is genuine. A certificate with two
/// URIs has none; a URI that is not UTF-8 names nobody and does not count.
#[must_use]
pub fn identity(chain: &[CertificateDer<'_>]) -> Option<Identity> {
    let certificate = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
    let mut uris = certificate.valid_uri_names();
    let uri = uris.next()?;
    uris.next().is_none().then(|| Identity::from_uri(uri))?
}

fn unix(at: OffsetDateTime) -> UnixTime {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn signed(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let (first, rest) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
    let certificate = ParsedCertificate::try_from(first)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&certificate, roots, rest, now, algorithms)
}

/// Accepts the certificate of one identity, under any host name.
#[derive(Debug, Clone)]
struct Expected {
    identity: Identity,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        signed(&chain, &self.roots, &self.provider, now)?;
        if identity(&chain).as_ref() != Some(&self.identity) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
