//! The installation's own certificate authority: a key, and certificates that name identities.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use keystile_contract::Identity;
use keystile_domain::{Clock, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::DnsName;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    data_dir,
    mtls::{self, AUTHORITY, Credentials},
};

const AUTHORITY_KEY: &str = "ca-key.pem";
/// What the name of a key's file ends in, after its certificate's.
const KEY_SUFFIX: &str = "-key";
const AUTHORITY_NAME: &str = "Keystile certificate authority";
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);
/// Machines whose clocks are a little behind accept a new certificate at once.
const BACKDATED: Duration = Duration::from_hours(1);

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// One that serves as well was there.
    AlreadyThere,
}

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority is not in that folder.
    #[error("{} has no {AUTHORITY_KEY}: make the authority first", .0.display())]
    NoAuthority(PathBuf),
    /// Half of an authority is lost, and a new one would not fit the other half.
    #[error("{} has one of {AUTHORITY} and {AUTHORITY_KEY} without the other", .0.display())]
    HalfAuthority(PathBuf),
    /// A caller whose certificate would be another caller's key.
    #[error("no caller's name ends in {KEY_SUFFIX}: files of keys do")]
    CallerName,
    /// A host that no certificate can name.
    #[error("{0:?} is neither a host name nor an address")]
    Host(String),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] data_dir::Error),
    /// The authority's certificate cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The library refuses.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The authority does not vouch for what its key signs, or what was written does not read back.
    #[error(transparent)]
    Unusable(#[from] mtls::Error),
}

/// Makes the authority in `dir`, unless it is there.
///
/// # Errors
/// [`Error::HalfAuthority`]: nothing is changed.
pub fn init(dir: &Path, clock: &dyn Clock) -> Result<Made, Error> {
    let (certificate, key) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(Made::AlreadyThere),
        (false, false) => {}
        _ => return Err(Error::HalfAuthority(dir.to_owned())),
    }
    let pair = KeyPair::generate()?;
    let mut params = authority();
    let now = clock.now();
    (params.not_before, params.not_after) = (now - BACKDATED, now + AUTHORITY_LIFETIME);
    let made = params.self_signed(&pair)?;
    data_dir::write_private(&key, &Zeroizing::new(pair.serialize_pem()))?;
    data_dir::write_private(&certificate, &made.pem())?;
    Ok(Made::New)
}

/// What is the same whenever the authority is loaded, so that its key is all that is needed to sign.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// What a certificate is to say.
#[derive(Debug)]
pub struct Request<'a> {
    /// Whose it is.
    pub identity: &'a Identity,
    /// Host names and addresses, for clients that check those. A role has its name and loopback
    /// besides.
    pub hosts: &'a [String],
    /// How long it is valid.
    pub lifetime: Duration,
}

/// Issues a certificate by the authority of `dir` and writes it, its key and the authority's
/// certificate into `out`. One that is there, names every host and is valid for another third of the
/// lifetime is left.
///
/// # Errors
/// [`Error::NoAuthority`], [`Error::CallerName`], [`Error::Host`]; an authority whose two files do
/// not belong together. Nothing is written then.
pub fn issue(
    dir: &Path,
    out: &Path,
    request: &Request<'_>,
    clock: &dyn Clock,
) -> Result<Made, Error> {
    if matches!(request.identity, Identity::Caller(name) if name.ends_with(KEY_SUFFIX)) {
        return Err(Error::CallerName);
    }
    let names = alternative_names(request)?;
    let now = clock.now();
    if still_good(dir, out, request, now) {
        return Ok(Made::AlreadyThere);
    }
    let pem = data_dir::read_private(&dir.join(AUTHORITY_KEY))?.map(Zeroizing::new);
    let pem = pem.ok_or_else(|| Error::NoAuthority(dir.to_owned()))?;
    let issuer = Issuer::new(authority(), KeyPair::from_pem(&pem)?);
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&request.identity.to_string());
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (now - BACKDATED, now + request.lifetime);
    let made = params.signed_by(&pair, &issuer)?;
    mtls::vouched(dir, made.der(), now)?;
    let (certificate, key) = mtls::files(out, request.identity);
    data_dir::write_private(&key, &Zeroizing::new(pair.serialize_pem()))?;
    data_dir::write_private(&certificate, &made.pem())?;
    copy_authority(dir, out)?;
    Credentials::read(out, request.identity)?;
    Ok(Made::New)
}

fn still_good(dir: &Path, out: &Path, request: &Request<'_>, now: OffsetDateTime) -> bool {
    let same_authority = fs::read(dir.join(AUTHORITY)).ok() == fs::read(out.join(AUTHORITY)).ok();
    same_authority
        && Credentials::read(out, request.identity).is_ok_and(|there| {
            // A key that was written without its certificate is no pair.
            there.server().is_ok()
                && there.valid_at(now + request.lifetime / 3)
                && hosts(request).all(|host| there.names(host))
        })
}

fn copy_authority(dir: &Path, out: &Path) -> Result<(), Error> {
    let (from, to) = (dir.join(AUTHORITY), out.join(AUTHORITY));
    let text = fs::read_to_string(&from).map_err(|cause| Error::Io { path: from, cause })?;
    Ok(data_dir::write_private(&to, &text)?)
}

fn hosts<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a str> {
    let own = match request.identity {
        Identity::Role(role) => vec![Role::as_str(*role), "localhost", "127.0.0.1", "::1"],
        Identity::Caller(_) => Vec::new(),
    };
    own.into_iter().chain(request.hosts.iter().map(String::as_str))
}

fn alternative_names(request: &Request<'_>) -> Result<Vec<SanType>, Error> {
    let mut names = vec![SanType::URI(request.identity.uri().try_into()?)];
    for host in hosts(request) {
        let name = if let Ok(address) = host.parse::<IpAddr>() {
            SanType::IpAddress(address)
        } else {
            // What a client would not look for is found in no certificate.
            if DnsName::try_from(host.strip_prefix("*.").unwrap_or(host)).is_err() {
                return Err(Error::Host(host.to_owned()));
            }
            SanType::DnsName(host.try_into()?)
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keystile_testkit::MockClock;

    use super::*;

    const YEAR: Duration = Duration::from_hours(24 * 365);

    fn request<'a>(identity: &'a Identity, hosts: &'a [String]) -> Request<'a> {
        Request { identity, hosts, lifetime: YEAR }
    }

    #[test]
    fn a_certificate_says_who_and_a_second_request_changes_nothing_while_it_is_good() {
        let home = tempfile::tempdir().expect("a folder");
        let (dir, out) = (home.path().join("ca"), home.path().join("vault"));
        let clock = MockClock::default();
        let vault = Identity::Role(Role::Vault);
        assert_eq!(init(&dir, &clock).expect("makes"), Made::New);
        assert_eq!(init(&dir, &clock).expect("is there"), Made::AlreadyThere);
        let first = request(&vault, &[]);
        assert_eq!(issue(&dir, &out, &first, &clock).expect("issues"), Made::New);
        let read = || fs::read(out.join("vault.pem")).expect("is there");
        let before = read();
        assert_eq!(issue(&dir, &out, &first, &clock).expect("is good"), Made::AlreadyThere);
        assert_eq!(read(), before);
        assert!(!out.join(AUTHORITY_KEY).exists(), "the authority's key stays where it is");
        clock.advance(YEAR * 2 / 3 + Duration::from_hours(1));
        assert_eq!(issue(&dir, &out, &first, &clock).expect("renews"), Made::New);
        assert_ne!(read(), before);
    }

    #[test]
    fn half_an_authority_is_not_made_whole() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = MockClock::default();
        let vault = Identity::Role(Role::Vault);
        let refused = issue(home.path(), home.path(), &request(&vault, &[]), &clock);
        assert!(matches!(refused, Err(Error::NoAuthority(_))), "{refused:?}");
        init(home.path(), &clock).expect("makes");
        fs::remove_file(home.path().join(AUTHORITY_KEY)).expect("is there");
        assert!(matches!(init(home.path(), &clock), Err(Error::HalfAuthority(_))));
    }

    #[test]
    fn no_name_of_a_caller_overwrites_what_is_somebody_elses() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = MockClock::default();
        init(home.path(), &clock).expect("makes");
        let vault = Identity::Role(Role::Vault);
        issue(home.path(), home.path(), &request(&vault, &[]), &clock).expect("issues");
        let before = files(home.path());
        for name in ["ca", "vault", "vault.pem", "billing"] {
            let caller = Identity::caller(name).expect("a name");
            issue(home.path(), home.path(), &request(&caller, &[]), &clock).expect("issues");
        }
        let after = files(home.path());
        assert_eq!(after.len(), before.len() + 2 * 4);
        assert!(before.iter().all(|(name, text)| after.get(name) == Some(text)));
        for name in ["ca-key", "vault-key", "billing-key"] {
            let caller = Identity::caller(name).expect("a name");
            let refused = issue(home.path(), home.path(), &request(&caller, &[]), &clock);
            assert!(matches!(refused, Err(Error::CallerName)), "{name}: {refused:?}");
        }
        assert_eq!(files(home.path()), after);
    }

    #[test]
    fn what_cannot_be_issued_leaves_every_file_as_it_was() {
        let home = tempfile::tempdir().expect("a folder");
        let (dir, other) = (home.path().join("ca"), home.path().join("other"));
        let clock = MockClock::default();
        init(&dir, &clock).expect("makes");
        init(&other, &clock).expect("makes");
        let vault = Identity::Role(Role::Vault);
        let out = home.path().join("vault");
        issue(&dir, &out, &request(&vault, &[]), &clock).expect("issues");
        let before = files(&out);
        clock.advance(YEAR);
        let refused = || issue(&dir, &out, &request(&vault, &[]), &clock).expect_err("refuses");
        fs::copy(other.join(AUTHORITY), dir.join(AUTHORITY)).expect("copies");
        assert!(matches!(refused(), Error::Unusable(mtls::Error::Unusable { .. })));
        fs::remove_file(dir.join(AUTHORITY)).expect("is there");
        assert!(matches!(refused(), Error::Unusable(mtls::Error::Io { .. })));
        fs::remove_file(dir.join(AUTHORITY_KEY)).expect("is there");
        assert!(matches!(refused(), Error::NoAuthority(_)));
        assert_eq!(files(&out), before);
    }

    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(dir).expect("is there");
        let paths = entries.map(|entry| entry.expect("reads").path());
        paths.map(|path| (path.clone(), fs::read(path).expect("reads"))).collect()
    }

    #[test]
    fn a_host_that_is_none_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = MockClock::default();
        init(home.path(), &clock).expect("makes");
        let caller = Identity::caller("billing").expect("a name");
        for wrong in ["", "a b", "keystile://role/issuance", "é", "*", "a.*.b", "10.0.0.256"] {
            let hosts = [wrong.to_owned()];
            let refused = issue(home.path(), home.path(), &request(&caller, &hosts), &clock);
            assert!(matches!(refused, Err(Error::Host(_))), "{wrong}: {refused:?}");
        }
    }

    #[test]
    fn a_certificate_that_lacks_a_host_is_not_good() {
        let home = tempfile::tempdir().expect("a folder");
        let clock = MockClock::default();
        init(home.path(), &clock).expect("makes");
        let vault = Identity::Role(Role::Vault);
        let ask = |hosts: &[&str]| {
            let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
            issue(home.path(), home.path(), &request(&vault, &hosts), &clock).expect("issues")
        };
        assert_eq!(ask(&[]), Made::New);
        for more in ["vault-1.internal", "*.vault.internal", "DB_1", "10.0.0.1", "fd00::1"] {
            assert_eq!(ask(&["a.internal", more]), Made::New, "{more}");
            assert_eq!(ask(&["a.internal", more]), Made::AlreadyThere, "{more}");
            assert_eq!(ask(&[more]), Made::AlreadyThere, "{more}");
        }
    }
}
