//! `keystile migrate`: the schemas, ahead of a start.

use std::io::Write as _;

use crate::{Settings, serve::named, wire};

/// Brings the schema of the database of each of `roles` up to date; of every role if none is named.
///
/// # Errors
/// A database that cannot be reached or refuses; those before it stay up to date.
pub async fn run(settings: &Settings, roles: &[String]) -> anyhow::Result<()> {
    let here = named(roles)?;
    wire::migrate(settings, &here).await?;
    let whose = if roles.is_empty() { "every schema" } else { "the schema of each of these roles" };
    writeln!(std::io::stdout(), "{whose} is up to date")?;
    Ok(())
}
