//! `keystile vault`: the keys of the vault, on its host, while it runs.

mod data_keys;
mod kek;
mod progress;

use clap::Subcommand;

use crate::Settings;

/// What can be done with the keys of the vault.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Which keys are in use
    Keys,
    /// Bring a new key-encryption key into use and re-wrap every data key, while vault runs
    ///
    /// Where the key-encryption keys are in the data directory, the next version is made there.
    /// Otherwise the operator adds it first, to the configuration or the token, and starts every
    /// process of vault with it. Ends when every data key is under it. May be interrupted at any
    /// point and run again: it goes on where it was.
    RotateKek {
        /// Make no key: finish what was begun, and bring what the operator added into use
        #[arg(long)]
        rewrap_only: bool,
        /// Afterwards remove the versions that no data key needs from the data directory; backups
        /// from before can then be opened with a copy of them only
        #[arg(long)]
        prune: bool,
    },
    /// Give teams new data keys and seal everything anew under them, while vault runs
    ///
    /// May be interrupted at any point and run again: it goes on where it was.
    RotateDataKeys {
        /// Of this team only
        #[arg(long, value_name = "TEAM")]
        team: Option<String>,
    },
}

/// Runs a command on the database and with the keys of the vault that `settings` describe; prints
/// text, or one JSON object.
///
/// # Errors
/// What is missing, and what to do about it.
pub async fn run(command: Command, settings: &Settings, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Keys => kek::show(settings, json).await,
        Command::RotateKek { rewrap_only, prune } => {
            kek::rotate(settings, kek::Options { rewrap_only, prune, json }).await
        }
        Command::RotateDataKeys { team } => {
            data_keys::rotate(settings, team.as_deref(), json).await
        }
    }
}

/// `1 data key`, `2 data keys`.
fn plural(count: u64, noun: &str) -> String {
    let end = match (count, noun.strip_suffix("ss")) {
        (1, _) => "",
        (_, Some(_)) => "es",
        (_, None) => "s",
    };
    format!("{count} {noun}{end}")
}
