//! What `keystile dev` and an embedded installation leave in the data directory.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Deserialize;

/// The profile's name in the data directory.
const FILE: &str = "cli.toml";
/// The generated operator token's name there.
const OPERATOR_TOKEN: &str = "secrets/operator-token.key";

/// Where the console is, and with what to ask it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) server: Option<String>,
    pub(super) token: Option<SecretText>,
}

/// A secret in a file of TOML.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct SecretText(pub(super) SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The profile in `data_dir`; an empty one if there is none.
pub(super) fn read(data_dir: &Path) -> anyhow::Result<Profile> {
    let path = data_dir.join(FILE);
    let Some(text) = text(&path)? else { return Ok(Profile::default()) };
    // The cause would quote the line, and with it the token.
    toml::from_str(&text).map_err(|_| anyhow::anyhow!("{} is not a profile", path.display()))
}

/// The operator token that an embedded installation generated.
pub(super) fn operator_token(data_dir: &Path) -> anyhow::Result<Option<SecretString>> {
    Ok(text(&data_dir.join(OPERATOR_TOKEN))?.map(|text| text.trim().to_owned().into()))
}

fn text(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_profile_is_read_and_a_broken_one_does_not_quote_its_token() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path()).expect("none is fine").token.is_none());
        let text = "server = \"http://127.0.0.1:8081\"\ntoken = \"ksm_x\"\n";
        fs::write(folder.path().join(FILE), text).expect("written");
        let profile = read(folder.path()).expect("reads");
        assert_eq!(profile.token.expect("a token").0.expose_secret(), "ksm_x");
        fs::write(folder.path().join(FILE), "token = \"ksm_x").expect("written");
        let refused = format!("{:?}", read(folder.path()).expect_err("broken"));
        assert!(!refused.contains("ksm_x"), "{refused}");
    }
}
