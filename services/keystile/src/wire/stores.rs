//! The data directory, and the databases of the durable roles that run here.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use keystile_domain::{ErrorKind, Role};
use keystile_runtime::{
    DataDir,
    secrets::{self, Absent, Secrets},
};
use keystile_sql::{Database, Pool};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Settings, advice::Advice};

/// How often a database that does not answer is asked, and for how long: a whole installation
/// starts in any order, and one whose database stays away is told to whoever supervises it.
const ATTEMPTS: u32 = 60;
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// The URL of each durable role's database.
pub(crate) struct Urls {
    urls: BTreeMap<Role, SecretString>,
    data_dir: PathBuf,
}

impl Urls {
    /// Those of `roles`, of which some have none.
    pub(crate) fn of(settings: &Settings, roles: &BTreeSet<Role>) -> Self {
        let url = |role: Role| {
            let configured = match role {
                Role::Issuance => &settings.issuance.database_url,
                Role::Vault => &settings.vault.database_url,
                Role::Triggers => &settings.triggers.database_url,
                Role::Console => &settings.console.database_url,
                Role::Verification | Role::Gateway => return None,
            };
            Some((role, configured.clone().unwrap_or_else(|| file(&settings.data_dir, role))))
        };
        let urls = roles.iter().copied().filter_map(url).collect();
        Self { urls, data_dir: settings.data_dir.clone() }
    }

    /// Is any of them a file? Then whoever uses it holds the data directory.
    pub(crate) fn any_file(&self) -> bool {
        self.urls.values().any(|url| path(url).is_some())
    }

    /// Is nothing stored yet? Of a server one cannot know before asking, and it is shared: never.
    pub(crate) fn all_new(&self) -> bool {
        self.urls.values().all(|url| path(url).is_some_and(|path| !path.exists()))
    }

    /// Connects to every one, waiting for those that do not answer yet.
    pub(crate) async fn connect(&self) -> anyhow::Result<Stores> {
        let mut databases = BTreeMap::new();
        for (role, url) in &self.urls {
            databases.insert(*role, connect(*role, url).await?);
        }
        let files = self.urls.iter().filter_map(|(role, url)| Some((*role, path(url)?)));
        let held = files.filter(|(_, path)| is_in(path, &self.data_dir)).map(|(role, _)| role);
        Ok(Stores { databases, held: held.collect() })
    }
}

/// The database of a role that names none.
fn file(dir: &Path, role: Role) -> SecretString {
    let path = dir.join(format!("{role}.db")).display().to_string();
    // What a URL would read otherwise.
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}").into()
}

/// The file that a URL stands for.
fn path(url: &SecretString) -> Option<PathBuf> {
    let rest = url.expose_secret().strip_prefix("sqlite:")?;
    let path = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
    Some(path.replace("%23", "#").replace("%3F", "?").replace("%25", "%").into())
}

/// Is the file, which is there, in that very directory?
fn is_in(file: &Path, dir: &Path) -> bool {
    match (file.canonicalize(), dir.canonicalize()) {
        (Ok(file), Ok(dir)) => file.parent() == Some(&*dir),
        _ => false,
    }
}

async fn connect(role: Role, url: &SecretString) -> anyhow::Result<Database> {
    let mut attempt = 1;
    loop {
        match Database::connect(url, Pool::default()).await {
            Ok(database) => return Ok(database),
            Err(error) if error.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS => {
                if attempt == 1 {
                    tracing::warn!(%role, %error, "waiting for the database");
                }
                tokio::time::sleep(ATTEMPT_INTERVAL).await;
                attempt += 1;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{role}.database_url"));
            }
        }
    }
}

/// A connection to the database of each durable role.
pub(crate) struct Stores {
    databases: BTreeMap<Role, Database>,
    /// Whose are files in the data directory.
    held: BTreeSet<Role>,
}

impl Stores {
    /// That of `role`, which is durable and runs here.
    pub(crate) fn of(&self, role: Role) -> anyhow::Result<Database> {
        self.databases.get(&role).cloned().with_context(|| format!("{role} has no database here"))
    }

    /// Is the database of `role` a file in the data directory? Then whoever holds that is its only
    /// user.
    pub(crate) fn held(&self, role: Role) -> bool {
        self.held.contains(&role)
    }

    /// Brings every schema up to date.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        for (role, database) in &self.databases {
            let migrated = match role {
                Role::Issuance => keystile_issuance::store::sql::migrate(database)
                    .await
                    .map_err(anyhow::Error::new),
                Role::Vault => keystile_vault::migrate(database).await.map_err(anyhow::Error::new),
                Role::Triggers => {
                    keystile_triggers::migrate(database).await.map_err(anyhow::Error::new)
                }
                Role::Console => {
                    keystile_console::migrate(database).await.map_err(anyhow::Error::new)
                }
                Role::Verification | Role::Gateway => Ok(()),
            };
            migrated.with_context(|| format!("the database of {role} cannot be migrated"))?;
        }
        Ok(())
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

/// Reads the secrets of `roles`, or makes them if nothing is stored yet and `held` says that no
/// other process can be doing the same. Before any database is opened, so that none comes to be
/// without its keys.
pub(crate) fn secrets<'a>(
    settings: &'a Settings,
    roles: &BTreeSet<Role>,
    urls: &Urls,
    held: Option<&DataDir>,
    entropy: &'a dyn keystile_domain::Entropy,
) -> anyhow::Result<Secrets<'a>> {
    let absent = if held.is_some() && urls.all_new() { Absent::Generate } else { Absent::Refuse };
    let secrets = Secrets::new(&settings.secrets, &settings.data_dir, absent, entropy);
    secrets.prepare(roles.iter().copied()).map_err(advised)?;
    Ok(secrets)
}

/// What helps against an error of the secrets.
pub(crate) fn advised(error: secrets::Error) -> anyhow::Error {
    match error {
        secrets::Error::Missing { field, ref file } => {
            let variable = format!("KEYSTILE_SECRETS__{}", field.to_ascii_uppercase());
            let hint = format!("restore {file} from a backup, or set {variable}");
            Advice::new(error.to_string(), hint).into()
        }
        other => anyhow::Error::new(other),
    }
}
