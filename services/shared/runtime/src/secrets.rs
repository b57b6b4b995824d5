//! The secrets of an installation: where they come from and when they may be made.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keystile_domain::{
    base62,
    entropy::{self, Entropy},
    token::{InvalidRing, TokenKeyRing},
};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::data_dir::{self, DataDir};

/// The `secrets` section. What is absent is read from `data_dir/secrets`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Token keys, each `version:base64 of 32 bytes`. The newest mints, all verify.
    pub token_keys: Vec<SecretString>,
    /// Keys from which the subkeys of sealed messages derive, in the same form.
    pub sealing_keys: Vec<SecretString>,
    /// Vault's key-encryption keys, in the same form.
    pub keks: Vec<SecretString>,
    /// What `/api/operator/v1` demands.
    pub operator_token: Option<SecretString>,
}

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

/// The secrets.
pub struct Secrets {
    /// Mint and recognise tokens.
    pub token_keys: TokenKeyRing,
    /// Derive the subkeys of sealed messages.
    pub sealing_keys: Vec<Versioned>,
    /// Wrap vault's data keys.
    pub keks: Vec<Versioned>,
    /// What `/api/operator/v1` demands.
    pub operator_token: SecretString,
}

impl fmt::Debug for Secrets {
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
    /// One does not read.
    #[error("secrets.{field} needs lines of the form version:base64 of 32 bytes")]
    Malformed {
        /// The field of the `secrets` section.
        field: &'static str,
    },
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
    /// The token keys form no ring.
    #[error("secrets.token_keys: {0}")]
    Ring(#[from] InvalidRing),
    /// The files cannot be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
}

impl Secrets {
    /// Collects the secrets from `config`, then from the files of `dir`; makes what is absent only
    /// if `absent` says so.
    pub fn load(
        config: &Config,
        dir: &DataDir,
        absent: Absent,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let source = Source { dir, absent, entropy };
        let mut ring = Vec::new();
        for (version, key) in source.keys("token_keys", &config.token_keys)? {
            let version = u8::try_from(version).map_err(|_| Error::TokenKeyVersion)?;
            ring.push((version, *key.expose_secret()));
        }
        let token_keys = TokenKeyRing::new(ring.iter().copied());
        for (_, key) in &mut ring {
            key.zeroize();
        }
        Ok(Self {
            token_keys: token_keys?,
            sealing_keys: source.keys("sealing_keys", &config.sealing_keys)?,
            keks: source.keys("keks", &config.keks)?,
            operator_token: source.operator_token(config.operator_token.as_ref())?,
        })
    }
}

struct Source<'a> {
    dir: &'a DataDir,
    absent: Absent,
    entropy: &'a dyn Entropy,
}

impl Source<'_> {
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
            format!("1:{}\n", *Zeroizing::new(STANDARD.encode(*key)))
        })?;
        parse(field, text.lines())
    }

    fn operator_token(&self, configured: Option<&SecretString>) -> Result<SecretString, Error> {
        let token = if let Some(token) = configured {
            token.clone()
        } else {
            let text = self.file("operator_token", || {
                let bytes = Zeroizing::new(entropy::bytes::<32>(self.entropy));
                let digits = Zeroizing::new(base62::encode::<32, 43>(&bytes));
                let digits = digits.iter().copied().map(char::from);
                "kso_".chars().chain(digits).chain(['\n']).collect()
            })?;
            text.trim().into()
        };
        if token.expose_secret().len() < 32 {
            return Err(Error::WeakOperatorToken);
        }
        Ok(token)
    }

    /// The text of a secret's file, made first if it is absent and may be.
    fn file(
        &self,
        field: &'static str,
        make: impl FnOnce() -> String,
    ) -> Result<Zeroizing<String>, Error> {
        let name = format!("secrets/{}.key", field.replace('_', "-"));
        if let Some(text) = self.dir.read_private(&name)? {
            return Ok(Zeroizing::new(text));
        }
        if self.absent == Absent::Refuse {
            let file = self.dir.path().join(name).display().to_string();
            return Err(Error::Missing { field, file });
        }
        let text = Zeroizing::new(make());
        self.dir.write_private(&name, &text)?;
        Ok(text)
    }
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

    fn dir() -> (tempfile::TempDir, DataDir) {
        let home = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(home.path().join("data")).expect("opens");
        (home, dir)
    }

    fn load(config: &Config, dir: &DataDir, absent: Absent) -> Result<Secrets, Error> {
        Secrets::load(config, dir, absent, &SeededEntropy::new(7))
    }

    #[test]
    fn what_was_made_once_is_read_from_then_on() {
        let (_home, dir) = dir();
        let made = load(&Config::default(), &dir, Absent::Generate).expect("makes");
        let read = load(&Config::default(), &dir, Absent::Refuse).expect("reads");
        assert_eq!(made.keks[0].1.expose_secret(), read.keks[0].1.expose_secret());
        assert_ne!(made.keks[0].1.expose_secret(), made.sealing_keys[0].1.expose_secret());
        assert_eq!(made.operator_token.expose_secret(), read.operator_token.expose_secret());
        assert_eq!(made.token_keys.newest(), 1);
    }

    #[test]
    fn a_lost_key_is_not_replaced_while_something_is_stored() {
        let (_home, dir) = dir();
        load(&Config::default(), &dir, Absent::Generate).expect("makes");
        std::fs::remove_file(dir.path().join("secrets/keks.key")).expect("is there");
        let refused = load(&Config::default(), &dir, Absent::Refuse).expect_err("refuses");
        assert!(matches!(refused, Error::Missing { field: "keks", .. }), "{refused}");
        assert!(!dir.path().join("secrets/keks.key").exists());
    }

    #[test]
    fn configured_keys_win_and_are_never_shown() {
        let (_home, dir) = dir();
        let config = Config {
            token_keys: vec![format!("2:{KEY}").into(), format!("1:{KEY}").into()],
            operator_token: Some("o".repeat(32).into()),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains(KEY));
        let secrets = load(&config, &dir, Absent::Generate).expect("loads");
        assert_eq!(secrets.token_keys.versions().collect::<Vec<_>>(), [1, 2]);
        assert!(!dir.path().join("secrets/token-keys.key").exists());
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_field_without_its_text() {
        let (_home, dir) = dir();
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
            let said = load(&config, &dir, Absent::Generate).expect_err("refuses").to_string();
            assert!(said.contains("secrets.token_keys"), "{said}");
            assert!(!said.contains("hunter2") && !said.contains(KEY), "{said}");
        }
        let config = Config { operator_token: Some("short".into()), ..Config::default() };
        let refused = load(&config, &dir, Absent::Generate);
        assert!(matches!(refused, Err(Error::WeakOperatorToken)));
    }
}
