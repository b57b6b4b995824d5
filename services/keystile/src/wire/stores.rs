//! The databases of the durable roles and the secrets that open them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keystile_domain::{Entropy, Role};
use keystile_runtime::{
    DataDir,
    secrets::{self, Absent, Secrets},
};
use keystile_sql::{Backend, Database, Pool};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Settings, advice::Advice};

/// A connection to the database of each durable role.
pub(crate) struct Stores {
    pub(crate) issuance: Database,
    pub(crate) vault: Database,
    pub(crate) triggers: Database,
    pub(crate) console: Database,
}

impl Stores {
    /// Are they all files here? Then whoever holds the data directory is their only user.
    pub(crate) fn embedded(&self) -> bool {
        [&self.issuance, &self.vault, &self.triggers, &self.console]
            .iter()
            .all(|database| database.backend() == Backend::Sqlite)
    }

    /// Brings every schema up to date.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        let failed = |role: Role| format!("the database of {role} cannot be migrated");
        let issuance = keystile_issuance::store::sql::migrate(&self.issuance).await;
        issuance.with_context(|| failed(Role::Issuance))?;
        let vault = keystile_vault::migrate(&self.vault).await;
        vault.with_context(|| failed(Role::Vault))?;
        let triggers = keystile_triggers::migrate(&self.triggers).await;
        triggers.with_context(|| failed(Role::Triggers))?;
        let console = keystile_console::migrate(&self.console).await;
        console.with_context(|| failed(Role::Console))
    }
}

/// Takes the data directory.
pub(crate) fn data_dir(settings: &Settings) -> anyhow::Result<DataDir> {
    DataDir::open(&settings.data_dir).map_err(|error| {
        let message = error.to_string();
        match error {
            keystile_runtime::data_dir::Error::InUse { .. } => Advice::new(
                message,
                "stop that process, or choose another directory: --data-dir DIR or \
                 KEYSTILE_DATA_DIR=DIR",
            )
            .into(),
            other => anyhow::Error::new(other),
        }
    })
}

/// Reads the secrets, or makes them if nothing is stored yet, then opens the databases: in this
/// order, so that a database without its keys never comes to be.
pub(crate) async fn open(
    settings: &Settings,
    dir: &DataDir,
    entropy: &dyn Entropy,
) -> anyhow::Result<(Secrets, Stores)> {
    let urls = [
        (Role::Issuance, settings.issuance.database_url.as_ref()),
        (Role::Vault, settings.vault.database_url.as_ref()),
        (Role::Triggers, settings.triggers.database_url.as_ref()),
        (Role::Console, settings.console.database_url.as_ref()),
    ]
    .map(|(role, url)| url.cloned().unwrap_or_else(|| file(dir.path(), role)));
    let absent = if urls.iter().all(is_new) { Absent::Generate } else { Absent::Refuse };
    let secrets = secrets(&settings.secrets, dir, absent, entropy)?;
    let [issuance, vault, triggers, console] = &urls;
    let stores = Stores {
        issuance: connect(Role::Issuance, issuance).await?,
        vault: connect(Role::Vault, vault).await?,
        triggers: connect(Role::Triggers, triggers).await?,
        console: connect(Role::Console, console).await?,
    };
    Ok((secrets, stores))
}

fn secrets(
    config: &secrets::Config,
    dir: &DataDir,
    absent: Absent,
    entropy: &dyn Entropy,
) -> anyhow::Result<Secrets> {
    Secrets::load(config, dir, absent, entropy).map_err(|error| match error {
        secrets::Error::Missing { field, ref file } => {
            let variable = format!("KEYSTILE_SECRETS__{}", field.to_ascii_uppercase());
            let hint = format!("restore {file} from a backup, or set {variable}");
            Advice::new(error.to_string(), hint).into()
        }
        other => anyhow::Error::new(other),
    })
}

/// The database of a role that names none.
fn file(dir: &Path, role: Role) -> SecretString {
    let path = dir.join(format!("{role}.db")).display().to_string();
    // What a URL would read otherwise.
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}").into()
}

/// Is this a file that does not exist yet? Of a server one cannot know before asking, and it is
/// shared: never.
fn is_new(url: &SecretString) -> bool {
    let Some(rest) = url.expose_secret().strip_prefix("sqlite:") else { return false };
    let path = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
    let path = path.replace("%23", "#").replace("%3F", "?").replace("%25", "%");
    !PathBuf::from(path).exists()
}

async fn connect(role: Role, url: &SecretString) -> anyhow::Result<Database> {
    let connected = Database::connect(url, Pool::default()).await;
    connected.with_context(|| format!("{role}.database_url"))
}
