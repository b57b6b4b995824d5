//! `keystile migrate`: the schemas, ahead of a start.

use std::io::Write as _;

use crate::{Settings, wire};

/// Brings the schema of every role's database up to date.
///
/// # Errors
/// A database that cannot be reached or refuses; those before it stay up to date.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    wire::migrate(settings).await?;
    writeln!(std::io::stdout(), "every schema is up to date")?;
    Ok(())
}
