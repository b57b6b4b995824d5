//! The key-encryption keys: who holds them.

use std::sync::Arc;

use anyhow::Context as _;
use keystile_domain::Role;
use keystile_kms::Pkcs11;
use keystile_runtime::{
    SystemClock, SystemEntropy,
    secrets::{Absent, KekFile, Secrets},
};
use keystile_seal::{Error, KekRing, KeyBytes, KeyEncryption, Several};
use keystile_vault::Rotation;

use super::stores::{self, Urls};
use crate::{Settings, advice::Advice};

/// Where the next key-encryption key comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// This file, which is ours to change.
    File(KekFile),
    /// The configuration, which is the operator's.
    Configured,
    /// A token's owner makes it, with this label and the version.
    Token { token: String, label: String },
}

/// Opens the key-encryption keys: those of the configuration or the file, and those of a token.
pub(crate) async fn open(secrets: &Secrets<'_>) -> anyhow::Result<Arc<dyn KeyEncryption>> {
    let mut holders: Vec<Arc<dyn KeyEncryption>> = Vec::new();
    let keys = secrets.keks().map_err(stores::advised)?;
    if let Some(file) = secrets.kek_file() {
        let read = move || read(&file);
        let ring = KekRing::read_from(Box::new(read), Arc::new(SystemEntropy));
        holders.push(Arc::new(ring.context("secrets.keks")?));
    } else if !keys.is_empty() {
        let ring = KekRing::new(keys, Arc::new(SystemEntropy)).context("secrets.keks")?;
        holders.push(Arc::new(ring));
    }
    if let Some((token, pin)) = secrets.pkcs11()? {
        let settings = keystile_kms::Settings {
            module: token.module.clone(),
            token: token.token.clone(),
            pin,
            label: token.label.clone(),
        };
        let opened = Pkcs11::open(settings, Arc::new(SystemEntropy)).await;
        holders.push(Arc::new(opened.context("secrets.pkcs11")?));
    }
    Ok(Arc::new(Several::new(holders).context("secrets.keks and secrets.pkcs11")?))
}

fn read(file: &KekFile) -> Result<Vec<(u32, KeyBytes)>, Error> {
    file.read().map_err(|error| {
        tracing::warn!(%error, "the file of key-encryption keys does not read");
        Error::Unavailable("their file does not read")
    })
}

/// Vault's keys, beside whoever runs on its database.
pub(crate) async fn rotation(settings: &Settings) -> anyhow::Result<(Rotation, Origin)> {
    let here = [Role::Vault].into();
    let urls = Urls::of(settings, &here);
    // A database that is not there would be made, and its keys with it.
    if urls.all_new() {
        let message = format!("there is no database of vault in {}", settings.data_dir.display());
        let hint = "name the directory or the configuration of the installation: --data-dir DIR, \
                    --config FILE";
        return Err(Advice::new(message, hint).into());
    }
    let (config, dir) = (&settings.secrets, &settings.data_dir);
    let secrets = Secrets::new(config, dir, Absent::Refuse, &SystemEntropy);
    let kek = open(&secrets).await?;
    let origin = match (secrets.pkcs11()?, secrets.kek_file()) {
        (Some((token, _)), _) => {
            Origin::Token { token: token.token.clone(), label: token.label.clone() }
        }
        (None, Some(file)) => Origin::File(file),
        (None, None) => Origin::Configured,
    };
    let database = urls.connect().await?.of(Role::Vault)?;
    let rotation =
        Rotation::open(database, kek, Arc::new(SystemClock), Arc::new(SystemEntropy)).await?;
    Ok((rotation, origin))
}
