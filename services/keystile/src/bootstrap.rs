//! `keystile bootstrap`: the first owner of a team.

use std::{collections::BTreeSet, io::Write as _};

use keystile_domain::Role;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{Settings, wire};

/// Where issuance has no database here and there are certificates to reach another process with,
/// it is there. Otherwise this host is the whole installation.
fn here(settings: &Settings) -> BTreeSet<Role> {
    let apart = settings.tls.dir.is_some() && settings.issuance.database_url.is_none();
    if apart { BTreeSet::from([Role::Console]) } else { Role::ALL.into() }
}

/// Makes the team `team`, its owner `email` and a management token, and prints them once: as text,
/// or as one JSON object.
///
/// # Errors
/// The address is taken or not one; the installation is running or cannot be opened.
pub async fn run(settings: &Settings, email: &str, team: &str, json: bool) -> anyhow::Result<()> {
    let (_held, console) = wire::console(settings, &here(settings)).await?;
    let made = console.bootstrap(email, team).await?;
    let (password, token) = (made.password.expose_secret(), made.token.expose_secret());
    let mut out = std::io::stdout().lock();
    if json {
        let made = json!({
            "teamId": made.team.to_string(),
            "userId": made.user.to_string(),
            "email": email,
            "password": password,
            "token": token,
        });
        writeln!(out, "{made}")?;
    } else {
        writeln!(out, "team              {}", made.team)?;
        writeln!(out, "owner             {email} ({})", made.user)?;
        writeln!(out, "password          {password}")?;
        writeln!(out, "management token  {token}")?;
        writeln!(out, "\nPassword and token are shown this once. Keep them safe.")?;
    }
    Ok(())
}
