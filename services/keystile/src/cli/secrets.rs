//! `keystile secrets`, as far as it goes through the console.

use std::path::Path;

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::{
    Options,
    client::Client,
    output::{Outcome, Output, confirm},
    when,
};

/// What an operator can do with an installation's secrets while it runs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cut every secret that was minted under one token key (operator)
    RetireTokenKey {
        /// The version of the token key; not the newest
        version: u32,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Deserialize)]
struct Retired {
    secrets: u64,
    outcome: Option<Outcome>,
}

/// Runs a command. `data_dir` is where `keystile dev` leaves its profile.
///
/// # Errors
/// What the API refused, or that the console cannot be reached.
pub async fn run(command: Command, options: Options, data_dir: &Path) -> anyhow::Result<()> {
    let output = Output { json: options.json, now: when::now() };
    let client = Client::new(&options, data_dir)?;
    let Command::RetireTokenKey { version, yes } = command;
    confirm(&format!("Refuse every secret that was minted under token key {version}?"), yes)?;
    let version = version.to_string();
    let answer = client.operator(Method::POST, &["token-keys", &version, "retire"], None).await?;
    output.show(&answer, |_| {
        let retired: Retired = answer.read()?;
        let line =
            retired.outcome.as_ref().map_or_else(|| "nothing to cut".to_owned(), Outcome::line);
        Ok(format!("{} secrets: {line}", retired.secrets))
    })
}
