//! The secrets of an installation: where they come from and when they may be made.

mod kek_file;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keystile_contract::{SealKeys, seal::InvalidSubkeys};
use keystile_domain::{
    Role, base62,
    entropy::{self, Entropy},
    token::{InvalidRing, TokenKeyRing},
};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

pub use self::kek_file::KekFile;
use crate::data_dir;

/// The `secrets` section. What is absent is read from `data_dir/secrets`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Token keys, each `version:base64 of 32 bytes`. The newest mints, all verify.
    pub token_keys: Vec<SecretString>,
    /// Keys from which the subkeys of sealed messages derive, in the same form.
    pub sealing_keys: Vec<SecretString>,
    /// Instead of sealing keys, for roles that run apart: subkeys, each
    /// `kind/minter/audience:version:base64 of 32 bytes`, as `keystile secrets derive` writes them.
    pub sealing_subkeys: Vec<SecretString>,
    /// Vault's key-encryption keys, in the same form as token keys.
    pub keks: Vec<SecretString>,
    /// Or, and beside them: the token that has vault's key-encryption keys.
    pub pkcs11: Option<Pkcs11>,
    /// What `/api/operator/v1` demands.
    pub operator_token: Option<SecretString>,
}

/// A PKCS #11 token with AES-256 keys `<label>-<version>`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The library of the token's maker, a file.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The PIN of the token's user; absent: `data_dir/secrets/pkcs11-pin.key`.
    pub pin: Option<SecretString>,
    /// What the keys' labels begin with.
    #[serde(default = "Pkcs11::default_label")]
    pub label: String,
}

impl Pkcs11 {
    fn default_label() -> String {
        "keystile-kek".to_owned()
    }
}

/// Those that are made in files.
const FIELDS: [&str; 4] = ["token_keys", "sealing_keys", KEKS, "operator_token"];
const KEKS: &str = "keks";
const PIN: &str = "pkcs11_pin";

/// May absent secrets be made?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// This process is the whole installation and nothing is stored yet: make them.
    Generate,
    /// Something may be stored that only they open, or others must share them: refuse.
    Refuse,
}

/// A key and its version.
pub type Versioned = (u32, SecretBox<[u8; 32]>);

/// The secrets of an installation, each read when it is asked for.
pub struct Secrets<'a> {
    config: &'a Config,
    data_dir: &'a Path,
    absent: Absent,
    entropy: &'a dyn Entropy,
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// The secrets are not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One is absent and must not be made.
    #[error(
        "secrets.{field} is missing: it is neither configured nor in {file}, and a new one would \
         not open what is already stored"
    )]
    Missing {
        /// The field of the `secrets` section.
        field: &'static str,
        /// The file that would hold it.
        file: String,
    },
    /// A token is configured without its PIN.
    #[error("secrets.pkcs11.pin is missing: it is neither configured nor in {file}")]
    NoPin {
        /// The file that would hold it.
        file: String,
    },
    /// One does not read.
    #[error("secrets.{field} needs lines of the form version:base64 of 32 bytes")]
    Malformed {
        /// The field of the `secrets` section.
        field: &'static str,
    },
    /// A subkey does not read.
    #[error(
        "secrets.sealing_subkeys needs lines of the form kind/minter/audience:version:base64 of \
         32 bytes"
    )]
    MalformedSubkey,
    /// A role was handed the subkeys of another, or two for one.
    #[error("secrets.sealing_subkeys: {0}")]
    Subkeys(#[from] InvalidSubkeys),
    /// Two keys claim one version.
    #[error("secrets.{field} has version {version} twice")]
    Twice {
        /// The field of the `secrets` section.
        field: &'static str,
        /// The version.
        version: u32,
    },
    /// Token key versions are bytes.
    #[error("secrets.token_keys versions are 1 to 255")]
    TokenKeyVersion,
    /// An operator token that could be guessed.
    #[error("secrets.operator_token needs at least 32 characters")]
    WeakOperatorToken,
    /// An operator token that not every configuration and header can hold as it is.
    #[error("secrets.operator_token must be visible ASCII without quotes and backslashes")]
    OperatorTokenForm,
    /// The token keys form no ring.
    #[error("secrets.token_keys: {0}")]
    Ring(#[from] InvalidRing),
    /// The files cannot be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
}

impl<'a> Secrets<'a> {
    /// What `config` holds, then what the files of `data_dir` hold. [`Absent::Generate`] is for who
    /// holds the directory.
    #[must_use]
    pub fn new(
        config: &'a Config,
        data_dir: &'a Path,
        absent: Absent,
        entropy: &'a dyn Entropy,
    ) -> Self {
        Self { config, data_dir, absent, entropy }
    }

    /// Is any secret's file in `data_dir`? Then others that are absent were lost.
    #[must_use]
    pub fn any_file(data_dir: &Path) -> bool {
        FIELDS.iter().any(|field| file(data_dir, field).exists())
    }

    /// Reads, or makes, all that these roles need.
    ///
    /// # Errors
    /// The first one that is missing or malformed.
    pub fn prepare(&self, roles: impl IntoIterator<Item = Role>) -> Result<(), Error> {
        for role in roles {
            if matches!(role, Role::Issuance | Role::Verification) {
                self.token_keys()?;
            }
            self.seal_keys(role)?;
            match role {
                Role::Vault => drop((self.keks()?, self.pkcs11()?)),
                Role::Console => drop(self.operator_token()?),
                Role::Issuance | Role::Verification | Role::Triggers | Role::Gateway => {}
            }
        }
        Ok(())
    }

    /// Mint and recognise tokens.
    ///
    /// # Errors
    /// [`Error::TokenKeyVersion`], and what every secret has.
    pub fn token_keys(&self) -> Result<TokenKeyRing, Error> {
        let mut ring = Vec::new();
        for (version, key) in self.keys("token_keys", &self.config.token_keys)? {
            let version = u8::try_from(version).map_err(|_| Error::TokenKeyVersion)?;
            ring.push((version, *key.expose_secret()));
        }
        let token_keys = TokenKeyRing::new(ring.iter().copied());
        for (_, key) in &mut ring {
            key.zeroize();
        }
        Ok(token_keys?)
    }

    /// The subkeys of sealed messages that `role` holds. The gateway has none.
    ///
    /// # Errors
    /// [`Error::Subkeys`], and what every secret has.
    pub fn seal_keys(&self, role: Role) -> Result<SealKeys, Error> {
        if role == Role::Gateway {
            return Ok(SealKeys::derive(role, &[]));
        }
        if self.config.sealing_subkeys.is_empty() {
            let keys = self.keys("sealing_keys", &self.config.sealing_keys)?;
            let keys = keys.iter().map(|(version, key)| (*version, *key.expose_secret()));
            return Ok(SealKeys::derive(role, &Zeroizing::new(keys.collect::<Vec<_>>())));
        }
        let given = self.config.sealing_subkeys.iter().map(|line| {
            let (label, key) = line.expose_secret().split_once(':')?;
            read(key).map(|(version, key)| (label, version, key))
        });
        let given: Option<Vec<_>> = given.collect();
        let given = given.ok_or(Error::MalformedSubkey)?;
        let given = given
            .iter()
            .map(|(label, version, key)| (*label, *version, SecretBox::expose_secret(key)));
        Ok(SealKeys::from_labelled(role, given)?)
    }

    /// Wrap vault's data keys; none if a token has them and no others are here.
    ///
    /// # Errors
    /// What every secret has.
    pub fn keks(&self) -> Result<Vec<Versioned>, Error> {
        let none = self.config.keks.is_empty() && KekFile::of(self.data_dir).is_none();
        if none && self.config.pkcs11.is_some() {
            return Ok(Vec::new());
        }
        self.keys(KEKS, &self.config.keks)
    }

    /// The file that the key-encryption keys are read from, unless they are configured.
    #[must_use]
    pub fn kek_file(&self) -> Option<KekFile> {
        if self.config.keks.is_empty() { KekFile::of(self.data_dir) } else { None }
    }

    /// The token that has key-encryption keys, and its PIN.
    ///
    /// # Errors
    /// [`Error::Missing`] without a PIN, which is never made.
    pub fn pkcs11(&self) -> Result<Option<(&Pkcs11, SecretString)>, Error> {
        let Some(token) = &self.config.pkcs11 else { return Ok(None) };
        if let Some(pin) = &token.pin {
            return Ok(Some((token, pin.clone())));
        }
        let path = file(self.data_dir, PIN);
        let text = data_dir::read_private(&path)?.map(Zeroizing::new);
        let text = text.ok_or_else(|| Error::NoPin { file: path.display().to_string() })?;
        Ok(Some((token, text.trim().into())))
    }

    /// What `/api/operator/v1` demands.
    ///
    /// # Errors
    /// [`Error::WeakOperatorToken`], [`Error::OperatorTokenForm`], and what every secret has.
    pub fn operator_token(&self) -> Result<SecretString, Error> {
        let token = if let Some(token) = &self.config.operator_token {
            token.clone()
        } else {
            let text = self.file("operator_token", || {
                let bytes = Zeroizing::new(entropy::bytes::<32>(self.entropy));
                let digits = Zeroizing::new(base62::encode::<32, 43>(&bytes));
                let digits = digits.iter().copied().map(char::from);
                Zeroizing::new("kso_".chars().chain(digits).chain(['\n']).collect())
            })?;
            text.trim().into()
        };
        if token.expose_secret().len() < 32 {
            return Err(Error::WeakOperatorToken);
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte);
        if !token.expose_secret().bytes().all(plain) {
            return Err(Error::OperatorTokenForm);
        }
        Ok(token)
    }

    /// The `[secrets]` section of a configuration with what `role` needs and nothing more, as TOML.
    ///
    /// # Errors
    /// What is missing here, too.
    pub fn derive(&self, role: Role) -> Result<Zeroizing<String>, Error> {
        let lines = |keys: &[Versioned]| -> Vec<_> {
            keys.iter().map(|(version, key)| line(*version, key.expose_secret())).collect()
        };
        let mut parts = vec![Zeroizing::new(format!(
            "# What {role} needs of the installation's secrets, by `keystile secrets derive`.\n[secrets]\n"
        ))];
        let mut list = |field: &str, lines: Vec<Zeroizing<String>>| {
            if lines.is_empty() {
                return;
            }
            parts.push(Zeroizing::new(format!("{field} = [\n")));
            for line in lines {
                parts.push(joined(&["    \"", &line, "\",\n"]));
            }
            parts.push(Zeroizing::new("]\n".to_owned()));
        };
        if matches!(role, Role::Issuance | Role::Verification) {
            list("token_keys", lines(&self.keys("token_keys", &self.config.token_keys)?));
        }
        let seal_keys = self.seal_keys(role)?;
        let subkeys = seal_keys
            .labelled()
            .map(|(label, version, key)| joined(&[&label, ":", &line(version, key)]));
        list("sealing_subkeys", subkeys.collect());
        if role == Role::Vault {
            list(KEKS, lines(&self.keks()?));
            if let Some((token, pin)) = self.pkcs11()? {
                let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
                let module = quoted(&token.module.display().to_string());
                let (label, token) = (quoted(&token.label), quoted(&token.token));
                parts.push(Zeroizing::new(format!(
                    "[secrets.pkcs11]\nmodule = {module}\ntoken = {token}\nlabel = {label}\n"
                )));
                let pin = Zeroizing::new(quoted(pin.expose_secret()));
                parts.push(joined(&["pin = ", &pin, "\n"]));
            }
        }
        if role == Role::Console {
            let token = self.operator_token()?;
            parts.push(joined(&["operator_token = \"", token.expose_secret(), "\"\n"]));
        }
        let parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        Ok(joined(&parts))
    }

    fn keys(
        &self,
        field: &'static str,
        configured: &[SecretString],
    ) -> Result<Vec<Versioned>, Error> {
        if !configured.is_empty() {
            return parse(field, configured.iter().map(SecretString::expose_secret));
        }
        let text = self.file(field, || {
            let key = Zeroizing::new(entropy::bytes::<32>(self.entropy));
            joined(&[&line(1, &key), "\n"])
        })?;
        parse(field, text.lines())
    }

    /// The text of a secret's file, made first if it is absent and may be.
    fn file(
        &self,
        field: &'static str,
        make: impl FnOnce() -> Zeroizing<String>,
    ) -> Result<Zeroizing<String>, Error> {
        let path = file(self.data_dir, field);
        if let Some(text) = data_dir::read_private(&path)? {
            return Ok(Zeroizing::new(text));
        }
        if self.absent == Absent::Refuse {
            return Err(Error::Missing { field, file: path.display().to_string() });
        }
        let text = make();
        data_dir::write_private(&path, &text)?;
        Ok(text)
    }
}

fn file(data_dir: &Path, field: &str) -> PathBuf {
    data_dir.join(format!("secrets/{}.key", field.replace('_', "-")))
}

/// Texts one after the other, in one buffer from the start: growing it would leave copies behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    Zeroizing::new(parts.concat())
}

/// A key as files and configurations have it.
fn line(version: u32, key: &[u8; 32]) -> Zeroizing<String> {
    let mut digits = Zeroizing::new([0_u8; 44]);
    // 32 bytes are 44 digits.
    let _ = STANDARD.encode_slice(key, &mut *digits);
    let digits = std::str::from_utf8(&*digits).unwrap_or_default();
    joined(&[&version.to_string(), ":", digits])
}

fn parse<'t>(
    field: &'static str,
    lines: impl Iterator<Item = &'t str>,
) -> Result<Vec<Versioned>, Error> {
    let mut keys: Vec<Versioned> = Vec::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (version, key) = read(line).ok_or(Error::Malformed { field })?;
        if keys.iter().any(|(other, _)| *other == version) {
            return Err(Error::Twice { field, version });
        }
        keys.push((version, key));
    }
    if keys.is_empty() {
        return Err(Error::Malformed { field });
    }
    keys.sort_by_key(|(version, _)| *version);
    Ok(keys)
}

fn read(line: &str) -> Option<Versioned> {
    let (version, key) = line.split_once(':')?;
    let version = version.trim().parse().ok().filter(|version| *version > 0)?;
    let bytes = Zeroizing::new(STANDARD.decode(key.trim()).ok()?);
    let mut key = SecretBox::<[u8; 32]>::init_with_mut(|_| {});
    (bytes.len() == 32).then(|| key.expose_secret_mut().copy_from_slice(&bytes))?;
    Some((version, key))
}

#[cfg(test)]
mod tests {
    use keystile_testkit::SeededEntropy;

    use super::*;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn with<T>(
        config: &Config,
        dir: &tempfile::TempDir,
        absent: Absent,
        ask: impl FnOnce(&Secrets<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let entropy = SeededEntropy::new(7);
        ask(&Secrets::new(config, dir.path(), absent, &entropy))
    }

    fn all(secrets: &Secrets<'_>) -> Result<(), Error> {
        secrets.prepare(Role::ALL)
    }

    fn ring(secrets: &Secrets<'_>) -> Result<TokenKeyRing, Error> {
        secrets.token_keys()
    }

    fn told(config: &Config, dir: &tempfile::TempDir, role: Role) -> String {
        let text = with(config, dir, Absent::Refuse, |secrets| secrets.derive(role));
        text.expect("derives").to_string()
    }

    #[test]
    fn what_was_made_once_is_read_from_then_on() {
        let (dir, config) = (tempfile::tempdir().expect("a directory"), Config::default());
        with(&config, &dir, Absent::Generate, all).expect("makes");
        let before: Vec<_> = Role::ALL.map(|role| told(&config, &dir, role)).into();
        with(&config, &dir, Absent::Generate, all).expect("reads");
        let after: Vec<_> = Role::ALL.map(|role| told(&config, &dir, role)).into();
        assert_eq!(before, after);
        let ring = with(&config, &dir, Absent::Refuse, ring).expect("reads");
        assert_eq!(ring.newest(), 1);
    }

    #[test]
    fn each_role_is_told_what_it_needs_and_nothing_more() {
        let (dir, config) = (tempfile::tempdir().expect("a directory"), Config::default());
        with(&config, &dir, Absent::Generate, all).expect("makes");
        let secret = |name: &str| {
            let text = std::fs::read_to_string(dir.path().join("secrets").join(name));
            text.expect("made").trim().to_owned()
        };
        let holders = |secret: &str| -> Vec<Role> {
            Role::ALL
                .into_iter()
                .filter(|role| told(&config, &dir, *role).contains(secret))
                .collect()
        };
        assert_eq!(holders(&secret("token-keys.key")), [Role::Issuance, Role::Verification]);
        assert_eq!(holders(&secret("keks.key")), [Role::Vault]);
        assert_eq!(holders(&secret("operator-token.key")), [Role::Console]);
        assert_eq!(holders(&secret("sealing-keys.key")), []);
        assert_eq!(holders("entry/verification/verification:"), [Role::Verification]);
        assert_eq!(holders("actor/console/vault:"), [Role::Vault, Role::Console]);
        assert!(!told(&config, &dir, Role::Gateway).contains(" = "));
    }

    #[test]
    fn a_role_starts_from_what_it_was_told_and_not_from_what_another_was() {
        let (dir, none) = (tempfile::tempdir().expect("a directory"), Config::default());
        with(&none, &dir, Absent::Generate, all).expect("makes");
        let empty = tempfile::tempdir().expect("a directory");
        for role in Role::ALL {
            let section = |role| {
                let text = told(&none, &dir, role);
                let table: toml::Table = text.parse().expect("TOML");
                table["secrets"].clone().try_into::<Config>().expect("a section")
            };
            let own = section(role);
            with(&own, &empty, Absent::Refuse, |secrets| secrets.prepare([role])).expect("enough");
            for other in Role::ALL.into_iter().filter(|other| *other != role) {
                let enough = with(&section(other), &empty, Absent::Refuse, |secrets| {
                    secrets.prepare([role])
                });
                assert_eq!(enough.is_ok(), role == Role::Gateway, "{role} with {other}'s");
            }
        }
    }

    #[test]
    fn two_subkeys_of_one_version_and_labels_of_nobody_are_refused_without_their_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let handed = |labels: &[&str]| {
            let lines = labels.iter().map(|label| format!("{label}:1:{KEY}").into());
            let config = Config { sealing_subkeys: lines.collect(), ..Config::default() };
            let refused =
                with(&config, &dir, Absent::Refuse, |secrets| secrets.seal_keys(Role::Triggers));
            refused.map(drop).map_err(|error| error.to_string())
        };
        let own = ["actor/console/triggers", "capability/verification/triggers"];
        handed(&own).expect("complete");
        for (more, says) in [
            (own[0], "secrets.sealing_subkeys: actor/console/triggers has version 1 twice"),
            ("actor/console/root", "secrets.sealing_subkeys: actor/console/root is no"),
        ] {
            let said = handed(&[own[0], own[1], more]).expect_err("refuses");
            assert!(said.starts_with(says) && !said.contains(KEY), "{said}");
        }
    }

    #[test]
    fn a_lost_key_is_not_replaced_while_something_is_stored() {
        let (dir, config) = (tempfile::tempdir().expect("a directory"), Config::default());
        with(&config, &dir, Absent::Generate, all).expect("makes");
        std::fs::remove_file(dir.path().join("secrets/keks.key")).expect("is there");
        let refused = with(&config, &dir, Absent::Refuse, all).expect_err("refuses");
        assert!(matches!(refused, Error::Missing { field: "keks", .. }), "{refused}");
        assert!(!dir.path().join("secrets/keks.key").exists());
    }

    #[test]
    fn configured_keys_win_and_are_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config {
            token_keys: vec![format!("2:{KEY}").into(), format!("1:{KEY}").into()],
            operator_token: Some("o".repeat(32).into()),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains(KEY));
        let ring = with(&config, &dir, Absent::Generate, ring).expect("loads");
        assert_eq!(ring.versions().collect::<Vec<_>>(), [1, 2]);
        assert!(!dir.path().join("secrets/token-keys.key").exists());
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_field_without_its_text() {
        let dir = tempfile::tempdir().expect("a directory");
        let short = "1:AQEB".to_owned();
        let wrong = [
            vec!["hunter2".to_owned()],
            vec![short],
            vec![format!("0:{KEY}")],
            vec![format!("256:{KEY}")],
            vec![format!("1:{KEY}"), format!("1:{KEY}")],
        ];
        for lines in wrong {
            let token_keys = lines.into_iter().map(Into::into).collect();
            let config = Config { token_keys, ..Config::default() };
            let refused = with(&config, &dir, Absent::Generate, all);
            let said = refused.expect_err("refuses").to_string();
            assert!(said.contains("secrets.token_keys"), "{said}");
            assert!(!said.contains("hunter2") && !said.contains(KEY), "{said}");
        }
        let operator_token = |token: &str| {
            let config = Config { operator_token: Some(token.into()), ..Config::default() };
            with(&config, &dir, Absent::Generate, |secrets| secrets.derive(Role::Console))
        };
        assert!(matches!(operator_token("short"), Err(Error::WeakOperatorToken)));
        for wrong in ["\"", "'", "\\", "\n", " ", "é"] {
            let refused = operator_token(&wrong.repeat(32));
            assert!(matches!(refused, Err(Error::OperatorTokenForm)), "{wrong:?}");
        }
        operator_token(&"!#$~".repeat(8)).expect("needs no escapes");
    }

    #[test]
    fn a_token_is_told_to_vault_alone_and_needs_no_other_key_and_a_pin() {
        let dir = tempfile::tempdir().expect("a directory");
        let token = |pin: Option<&str>| Config {
            pkcs11: Some(Pkcs11 {
                module: "/lib/a \"token\".so".into(),
                token: "mine".to_owned(),
                pin: pin.map(Into::into),
                label: Pkcs11::default_label(),
            }),
            sealing_keys: vec![format!("1:{KEY}").into()],
            operator_token: Some("o".repeat(32).into()),
            token_keys: vec![format!("1:{KEY}").into()],
            ..Config::default()
        };
        let refused = with(&token(None), &dir, Absent::Generate, all).expect_err("no PIN");
        assert!(refused.to_string().starts_with("secrets.pkcs11.pin is missing"), "{refused}");
        let pin = "2\"4'6\\8";
        assert!(!format!("{:?}", token(Some(pin))).contains(pin));
        let given = token(Some(pin));
        let keks = with(&given, &dir, Absent::Generate, |secrets| Ok(secrets.keks()?.len()))
            .expect("none is needed");
        assert!(keks == 0 && KekFile::of(dir.path()).is_none());

        let table: toml::Table = told(&given, &dir, Role::Vault).parse().expect("TOML");
        let section: Config = table["secrets"].clone().try_into().expect("a section");
        let token = section.pkcs11.expect("told");
        assert_eq!(token.module, Path::new("/lib/a \"token\".so"));
        assert_eq!(token.pin.expect("told").expose_secret(), pin);
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Vault) {
            assert!(!told(&given, &dir, role).contains("pkcs11"), "{role}");
        }

        data_dir::write_private(&file(dir.path(), PIN), "1234\n").expect("writes");
        let from_file = Config { pkcs11: token_without_pin(&given), ..given };
        let pin = with(&from_file, &dir, Absent::Refuse, |secrets| {
            Ok(secrets.pkcs11()?.expect("configured").1)
        });
        assert_eq!(pin.expect("reads").expose_secret(), "1234");
    }

    fn token_without_pin(config: &Config) -> Option<Pkcs11> {
        Some(Pkcs11 { pin: None, ..config.pkcs11.clone()? })
    }
}
