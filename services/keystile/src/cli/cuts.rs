//! `keystile cuts`.

use clap::Subcommand;
use reqwest::Method;

use super::{client::Client, output::Output};

/// What can be asked about changes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait until a change is in force everywhere, and show its receipt
    Show {
        /// `op_…`
        operation: String,
    },
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    let Command::Show { operation } = command;
    let answer = client.manage(Method::GET, &["cuts", &operation], &[], None).await?;
    output.outcome(&answer)
}
