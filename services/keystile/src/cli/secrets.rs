//! `keystile secrets`, as far as it goes through the console.

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::{
    client::Client,
    output::{Outcome, Output, confirm},
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

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
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
